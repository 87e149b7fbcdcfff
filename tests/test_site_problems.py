"""All that is wrong with a site's file, told by its lines."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk.demo.run import BUNDLED
from ppsdk.site.load import load_site
from ppsdk.site.problems import SiteError
from ppsdk.site.schema import (
    CameraTable,
    ClassTable,
    ClipsTable,
    EventsTable,
    MqttTable,
    SinksTable,
    SiteTable,
    SpoolTable,
    WebhookTable,
)

FAULTY = """\
model = "nowhere"
treads = 2
timeout_s = 0
precision = "int8"
length_s = "2"
[events]
smoothing = "median"
background = ["idle", 7]
[events.per_class.pick]
on_threshold = 2
min_duration = 1
[[cameras]]
name = "bench"
url = "rtsp://admin:hunter2@bench.local/1" # "name"
roi = [0.5, 0, 0.4, 1]
stride_s = -1
[[cameras]]
name = "bench"
url_env = "NOBODY_SET_IT"
user_env = "hunter2"
password = "hunter2"
polygon = [[0, 0], [1, 0]]
[[cameras]]
url = "missing.mp4"
realtime = 1
still_below = nan
polygon = [[0, 0], [1, 0], # left, right
  [0.5, "1"]]
[[cameras]]
name = "hall"
url = "ftp://hall/1"
url_file = "hunter2"
[[cameras]]
name = "a\\nb"
events_file = "options.json"
[sinks]
stdot = true
jsonl = "events.jsonl"
[sinks.csv]
path = "nowhere/events.csv"
rotate_mb = 0
[sinks.webhook]
url = "https://host/hook?token=hunter2"
secret = "hunter2"
timeout_s = true
[sinks.mqtt]
url = "http://broker"
password_env = "hunter 2"
password_file = "password"
[sinks.spool]
max_mb = -1
max_age_days = "7"
[sinks.clips]
path = "site.toml/clips"
pre_s = -1
max_height = 9.5
fps = 61
overlay = "no"
"""


FAULTS = [
    (1, "model: ", "nowhere: not a ppsdk model: model.xml is missing"),
    (2, "treads: unknown key (is threads meant?), accepted are model, precision, threads, "),
    (3, "timeout_s is 0: must be a number of seconds, more than 0 and at most 86400"),
    (4, 'precision is "int8": must be "f32", "bf16" or "f16"'),
    (5, 'length_s is "2": must be a number of seconds, more than 0'),
    (7, 'events.smoothing is "median": must be "none", "mean" or "ema"'),
    (8, 'events.background is ["idle", 7]: must be a list of labels of the model'),
    (10, "events.per_class.pick.on_threshold is 2: must be a number from 0 to 1"),
    (11, "min_duration: unknown key (is min_duration_s meant?), accepted are on_threshold, "),
    (13, "cameras.name is 'bench', as is another's: must be a name of its own"),
    (14, "cameras.url: has a user, a password or a token in it: give user_env and password_env"),
    (15, "cameras.roi is (0.5, 0.0, 0.4, 1.0): must be (x0, y0, x1, y1)", "0 <= x0 < x1 <= 1"),
    (16, "cameras.stride_s is -1: must be a number of seconds, more than 0"),
    (18, "cameras.name is 'bench', as is another's"),
    (19, "cameras.url_env: there is no such environment variable, or it is empty"),
    (20, "cameras.user_env: there is no such environment variable"),
    (21, "cameras.password: no secret goes into the file: give password_env or password_file"),
    (22, "cameras.polygon is [[0.0, 0.0], [1.0, 0.0]]: must be three points (x, y) or more"),
    (23, "cameras.name is missing: must be a name of its own"),
    (24, "cameras.url: ", "missing.mp4: no such file"),
    (25, "cameras.realtime is 1: must be true or false"),
    (26, "cameras.still_below is NaN: must be a number of grey levels, more than 0"),
    (28, 'cameras.polygon is [[0, 0], [1, 0], [0.5, "1"]]: must be three points [x, y] or more'),
    (31, "cameras.url: ftp://hall/1: must begin with rtsp://, http:// or another of rtsps"),
    (32, "cameras.url_file: cannot read that file: No such file or directory"),
    (32, "cameras.url_file: url is there too: must be one of them"),
    (33, "cameras.url is missing: must be an rtsp:// or http:// address", "url_env or url_file"),
    (34, "cameras.name is 'a\\nb': must have characters that can be printed"),
    (35, "cameras.events_file: ", "options.json: cannot read it (No such file or directory)"),
    (37, "sinks.stdot: unknown key (is stdout meant?), accepted are stdout, jsonl, csv"),
    (38, 'sinks.jsonl is "events.jsonl": must be a table with a path'),
    (40, "sinks.csv.path: ", "events.csv: there is no folder "),
    (41, "sinks.csv.rotate_mb is 0: must be a number of megabytes, more than 0"),
    (43, "sinks.webhook.url: has a user, a password or a token in it", "url_env"),
    (44, "sinks.webhook.secret: no secret goes into the file: give secret_env or secret_file"),
    (45, "sinks.webhook.timeout_s is true: must be a number of seconds"),
    (47, "sinks.mqtt.url: the MQTT URL must be mqtt://HOST[:PORT][/PREFIX] or mqtts://"),
    (48, "sinks.mqtt.password_env: must be the name of an environment variable, not the secret"),
    (49, "sinks.mqtt.password_file: cannot read that file"),
    (49, "sinks.mqtt.password_file: password_env is there too: must be one of them"),
    (51, "sinks.spool.max_mb is -1: must be a number of megabytes, more than 0"),
    (52, 'sinks.spool.max_age_days is "7": must be a number of days'),
    (54, "sinks.clips.path: ", "site.toml: is a file, must be a folder"),
    (55, "sinks.clips.pre_s is -1: must be a number of seconds, 0 to 600"),
    (56, "sinks.clips.max_height is 9.5: must be a whole number, 16 to 4320"),
    (57, "sinks.clips.fps is 61: must be a number of pictures a second, more than 0 and at most 6"),
    (58, 'sinks.clips.overlay is "no": must be true or false'),
]


def problems_of(folder, text, **environ):
    """Line by line: (line, what)."""
    file = folder / "site.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(SiteError) as caught:
        load_site(file, environ=environ)
    problems = []
    for problem in caught.value.problems:
        assert problem.startswith(f"{file}:") and "\n" not in problem
        line, what = problem[len(f"{file}:") :].split(": ", 1)
        problems.append((int(line), what))
    return problems


def test_all_that_is_wrong_is_told_at_once_with_its_line(tmp_path):
    told = problems_of(tmp_path, FAULTY)
    assert [line for line, _ in told] == [line for line, *_ in FAULTS]
    assert "hunter2" not in str(told)
    for line, *parts in FAULTS:
        of_line = [what for number, what in told if number == line]
        assert any(all(part in what for part in parts) for what in of_line), (parts, of_line)


RIGHT = f"""\
model = {json.dumps(str(BUNDLED))}
[[cameras]]
name = "bench"
url = "rtsp://bench.local/1"
[sinks]
stdout = true
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("[[cameras]]", "[cameras]", 2, "cameras: must be one table [[cameras]] or more"),
        ("stdout = true", "", 5, "sinks: there is none: must be one or more of stdout, jsonl, csv"),
        ("[sinks]", "[outputs]", 1, "sinks is missing: must be a table with one sink or more"),
        ("model", "#", 1, "model is missing: must be a folder written by `ppsdk convert`"),
        ("bench.local/1", "u:p@b", 4, "cameras.url: has a user, a password or a token in it"),
        ("rtsp://bench.local", "rtsp:u:p@b", 4, "cameras.url: has a user, a password or a token"),
        ("rtsp://bench.local/1", "100", 4, "cameras.url: camera 100: must be an index from 0 to"),
        ("stdout = true", "clips = {}", 6, "sinks.clips.path is missing: must be a folder, which"),
        (
            *("stdout = true", "clips = { path = 'c', longest_s = 5 }", 6),
            "sinks.clips.longest_s is 5.0: must be more than pre_s, 5.0",
        ),
        (
            *("stdout = true", "clips = { path = 'c', longest_s = 4, fps = 0 }", 6),
            "sinks.clips.longest_s is 4.0: must be more than pre_s, 5.0",
        ),
        (
            *("stdout = true", "clips = { path = 'c', pre_s = 300 }", 6),
            "sinks.clips.longest_s is 300.0: must be more than pre_s, 300.0",
        ),
        ("[sinks]", "fps = 5\n[sinks]", 5, "cameras.fps is 5: is for a folder of pictures, which"),
        ('url = "', 'length_s = 1e-4 # "', 4, "cameras.length_s is 0.0001: must be 0.0008 s or"),
    ],
)
def test_one_thing_is_wrong(tmp_path, old, new, line, what):
    told = problems_of(tmp_path, RIGHT.replace(old, new, 1))
    assert any(number == line and text.startswith(what) for number, text in told), told


def test_what_is_no_toml_or_no_file_is_told(tmp_path):
    for text, number in (("a = 1\nb = \n", 2), ("a = 1\n\nb = [1,\n", 4)):
        ((line, what),) = problems_of(tmp_path, text)
        assert line == number and what.startswith("no TOML: ")
    with pytest.raises(SiteError, match=r"none.toml: cannot read it \(No such file"):
        load_site(tmp_path / "none.toml")


NUMBERS = st.sampled_from(["0", "-1", "0.5", "2", "nan", "inf", "99999999999999999999", "1e300"])


STRINGS = st.sampled_from(
    ["", "pick", "0", "rtsp://u:hunter2@b/1", "a\nb", "x\0y", "http://b", "ä"]
)


ODD = st.recursive(
    st.one_of(NUMBERS, STRINGS.map(json.dumps), st.sampled_from(["true", "07:32:00", "[]", "{}"])),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        parts.map(lambda part: '{ "a b" = ' + part + " }"),
    ),
    max_leaves=4,
)


TABLES = {
    "[events]": EventsTable,
    "[[cameras]]": CameraTable,
    "[cameras.events]": EventsTable,
    "[cameras.events.per_class.pick]": ClassTable,
    "[sinks]": SinksTable,
    "[sinks.webhook]": WebhookTable,
    "[sinks.mqtt]": MqttTable,
    "[sinks.spool]": SpoolTable,
    "[sinks.clips]": ClipsTable,
}


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_in_the_file_each_problem_is_a_line(data):
    """And all that is one key's fault is told of that key's line."""
    lines = []
    for header, kind in {"": SiteTable, **TABLES}.items():
        keys = data.draw(st.lists(st.sampled_from(sorted(kind.model_fields)), unique=True))
        nested = ["per_class"] + [header.strip("[]").rpartition(".")[2] for header in TABLES]
        lines += [header] if header else []
        lines += [f"{key} = {data.draw(ODD)}" for key in keys if key not in nested]
    with tempfile.TemporaryDirectory() as folder:
        for number, (line, what) in enumerate(problems_of(Path(folder), "\n".join(lines))):
            assert 1 <= line <= len(lines) and what, number
            assert "hunter2" not in what and "no TOML" not in what
