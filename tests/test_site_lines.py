"""Lines of keys in TOML: those of a text are counted by hand, those of drawn ones are known."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk.site.lines import line_of, read_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """\
# model = "not this"
model = "a # no comment" # a comment
"quoted.key" = 1979-05-27T07:32:00.5Z
'single' = ""
a . "b c" . d = 1.5

[events]
note = \"\"\"
[cameras]
"" \\\\" x = 1 \"\"\"\"\"
literal = '''
'it''''
on = 0.5

[[cameras]]
roi = [ 0, # left
  0.1, [1,
  2], { x = 1, "y z" = [3] },
]
[cameras.events]
off.low = inf
[cameras . events.per_class.'a]']
on = 1
[[cameras]]
events = { on = 0.5, per_class = { "b=" = { on = -1 } } }
[[cameras.points]]
x = 1
[[cameras.points]]
x = 2
[sinks]
"""

LINES = {
    ("model",): 2,
    ("quoted.key",): 3,
    ("single",): 4,
    ("a",): 5,
    ("a", "b c"): 5,
    ("a", "b c", "d"): 5,
    ("events",): 7,
    ("events", "note"): 8,
    ("events", "literal"): 11,
    ("events", "on"): 13,
    ("cameras",): 15,
    ("cameras", 0): 15,
    ("cameras", 0, "roi"): 16,
    ("cameras", 0, "roi", 0): 16,
    ("cameras", 0, "roi", 1): 17,
    ("cameras", 0, "roi", 2): 17,
    ("cameras", 0, "roi", 2, 0): 17,
    ("cameras", 0, "roi", 2, 1): 18,
    ("cameras", 0, "roi", 3): 18,
    ("cameras", 0, "roi", 3, "x"): 18,
    ("cameras", 0, "roi", 3, "y z"): 18,
    ("cameras", 0, "roi", 3, "y z", 0): 18,
    ("cameras", 0, "events"): 20,
    ("cameras", 0, "events", "off"): 21,
    ("cameras", 0, "events", "off", "low"): 21,
    ("cameras", 0, "events", "per_class"): 22,
    ("cameras", 0, "events", "per_class", "a]"): 22,
    ("cameras", 0, "events", "per_class", "a]", "on"): 23,
    ("cameras", 1): 24,
    ("cameras", 1, "events"): 25,
    ("cameras", 1, "events", "on"): 25,
    ("cameras", 1, "events", "per_class"): 25,
    ("cameras", 1, "events", "per_class", "b="): 25,
    ("cameras", 1, "events", "per_class", "b=", "on"): 25,
    ("cameras", 1, "points"): 26,
    ("cameras", 1, "points", 0): 26,
    ("cameras", 1, "points", 0, "x"): 27,
    ("cameras", 1, "points", 1): 28,
    ("cameras", 1, "points", 1, "x"): 29,
    ("sinks",): 30,
}


def places(value, place=()):
    """Of everything in parsed values."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in items:
        yield (*place, key)
        if isinstance(part, (dict, list)):
            yield from places(part, (*place, key))


def test_each_key_table_and_element_has_its_line():
    values, lines = read_toml(TEXT)
    assert values == tomllib.loads(TEXT)
    assert lines == LINES


def test_ends_of_lines_may_be_those_of_windows():
    _, lines = read_toml(TEXT.replace("\n", "\r\n"))
    assert lines == LINES


def test_what_is_missing_is_missing_in_its_table():
    assert line_of(("cameras", 0, "events", "on"), LINES) == 20
    assert line_of(("cameras", 1, "name"), LINES) == 24
    assert line_of(("threads",), LINES) == 1


def test_what_is_no_toml_has_a_line_too():
    with pytest.raises(ValueError, match="at line 2, column"):
        read_toml("a = 1\nb = \n")


def quoted(key):
    return json.dumps(key, ensure_ascii=False)


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=4)
SCALARS = st.one_of(
    st.integers(-9, 9).map(str),
    st.sampled_from(["1.5", "true", "07:32:00", "1979-05-27 07:32:00", "'#,]}='", '"\\"["']),
    st.sampled_from(['""""#"""', "'''\n[x]\ny = 1'''", '"""\\\n  a"""""']),
)
VALUES = st.recursive(
    SCALARS,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(lambda items: "[" + ",\n".join(items) + "]"),
        st.dictionaries(KEYS, parts, max_size=3).map(
            lambda items: "{" + ", ".join(f"{quoted(k)} = {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
TABLES = st.lists(st.tuples(KEYS, st.dictionaries(KEYS, VALUES, max_size=3)), max_size=4)


@settings(deadline=None)
@given(TABLES)
def test_of_any_text_every_key_has_the_line_that_it_was_written_in(tables):
    """Tables [[name]], each time anew, with keys one after the other."""
    text, told, counts = "", {}, {}
    for name, table in tables:
        number = counts[name] = counts.get(name, -1) + 1
        told.setdefault((name,), text.count("\n") + 1)
        told[name, number] = text.count("\n") + 1
        text += f"[[ {quoted(name)} ]] # {{\n"
        for key, value in table.items():
            told[name, number, key] = text.count("\n") + 1
            text += f"{quoted(key)} = {value}\n"
    values, lines = read_toml(text)
    assert set(lines) == set(places(values))
    assert {place: lines[place] for place in told} == told
