"""A site's file: what it says, and all that is wrong with it, told by its lines."""

import json
import re
import tempfile
from pathlib import Path

import pytest
from certificates import make_certificate
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import assert_refused, run

from ppsdk import EventOptions
from ppsdk.demo.run import BUNDLED
from ppsdk.event_options import write_options
from ppsdk.sinks import Certificates
from ppsdk.sinks.clips import ClipOptions
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

EXAMPLE = Path(__file__).parent.parent / "examples" / "site" / "site.toml"
EXAMPLE_SECRETS = ("BENCH_USER", "BENCH_PASSWORD", "WEBHOOK_SECRET")
LABELS = "idle, insert, loosen, pick, place, remove, tighten"

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
        ('url = "', 'length_s = 1e-4 # "', 4, "cameras.length_s is 0.0001: must be 0.0008 s or"),
    ],
)
def test_one_thing_is_wrong(tmp_path, old, new, line, what):
    told = problems_of(tmp_path, RIGHT.replace(old, new, 1))
    assert any(number == line and text.startswith(what) for number, text in told), told


def test_event_options_that_contradict_each_other_are_told_where_they_are(tmp_path):
    common = "[events]\non_threshold = 0.4\nbackground = ['idle']\n"
    cameras = (
        "[[cameras]]\nname = 'a'\nurl = '0'\nevents.off_threshold = 0.6\n"
        "[[cameras]]\nname = 'b'\nurl = '1'\n[cameras.events]\non_threshold = 0.7\n"
        "[cameras.events.per_class.waltz]\nmin_duration_s = 1\n"
    )
    head, _, tail = RIGHT.partition("[[cameras]]")
    told = problems_of(tmp_path, f"{head}{common}{cameras}[sinks]{tail.partition('[sinks]')[2]}")
    assert told == [
        (8, "cameras.events.off_threshold is 0.6: must be no more than on_threshold, 0.4"),
        (14, f"cameras.events.per_class.waltz: no label 'waltz': the model has {LABELS}"),
    ]


def test_what_is_wrong_with_all_is_not_told_of_each(tmp_path):
    """The threshold of all is not known, so that nothing can be said of what goes with it."""
    common = "[events]\non_threshold = 0.8\nbackground = ['dance']\n[[cameras]]\n"
    text = RIGHT.replace("[[cameras]]\n", f"{common}events.off_threshold = 0.7\n")
    told = problems_of(tmp_path, text)
    assert told == [(4, f"events.background: no label 'dance': the model has {LABELS}")]


def test_what_is_no_toml_or_no_file_is_told(tmp_path):
    for text, number in (("a = 1\nb = \n", 2), ("a = 1\n\nb = [1,\n", 4)):
        ((line, what),) = problems_of(tmp_path, text)
        assert line == number and what.startswith("no TOML: ")
    with pytest.raises(SiteError, match=r"none.toml: cannot read it \(No such file"):
        load_site(tmp_path / "none.toml")


GOOD = """\
model = "model"
threads = 2
length_s = 2
[events]
on_threshold = 0.6
background = ["idle"]
[events.per_class]
pick = { on_threshold = 0.8 }
place = { cooldown_s = 3 }
[[cameras]]
name = "bench"
url = "rtsp://bench.local:8554/1?x=1"
user_env = "USER_NAME"
password_file = "secrets/bench"
[[cameras]]
name = "door"
url_env = "DOOR"
length_s = 4
stride_s = 1
roi = [0, 0, 0.5, 1]
polygon = [[0, 0], [0.5, 0], [0, 1]]
events.off_threshold = 0.5
events.per_class.pick.on_threshold = 0.7
[[cameras]]
name = "film"
url = "film.mp4"
events_file = "tuned.json"
events.cooldown_s = 2
[sinks.jsonl]
path = "events.jsonl"
rotate_mb = 0.5
[sinks.webhook]
url_file = "secrets/hook"
token_env = "TOKEN"
[sinks.spool]
max_age_days = 0.5
[sinks.clips]
path = "films"
pre_s = 2
overlay = true
budget_mb = 0.5
"""


@pytest.fixture
def good(tmp_path):
    (tmp_path / "model").symlink_to(BUNDLED)
    (tmp_path / "film.mp4").write_bytes(b"any")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "bench").write_text("p@ss:w/rd%\n")
    (tmp_path / "secrets" / "hook").write_text("https://host/hook?token=x\n")
    (tmp_path / "token").write_text("t0ken\n")
    write_options(EventOptions(on_threshold=0.9, min_duration_s=1), tmp_path / "tuned.json")
    (tmp_path / "site.toml").write_text("\ufeff" + GOOD, "utf-8")
    (tmp_path / "state").mkdir()
    environ = {"USER_NAME": "a b", "DOOR": "rtsp://u:p@door.local", "TOKEN_FILE": "token"}
    return tmp_path, environ


def test_a_right_file_is_what_it_says(good, monkeypatch):
    folder, environ = good
    monkeypatch.chdir(folder)  # for TOKEN_FILE
    site = load_site(folder / "site.toml", state_dir=folder / "state", environ=environ)
    assert (site.model.folder, site.model.threads) == (folder / "model", 2)
    assert (site.model.precision, site.model.timeout_s) == ("f32", 10)
    bench, door, film = site.cameras
    # RFC 3986, 2.1 and 3.2.1: what divides a URL is written in hexadecimal digits.
    assert bench.url == "rtsp://a%20b:p%40ss%3Aw%2Frd%25@bench.local:8554/1?x=1"
    assert door.url == "rtsp://u:p@door.local" and film.url == str(folder / "film.mp4")
    assert (bench.length_s, bench.stride_s) == (2, None)
    assert (door.length_s, door.stride_s) == (4, 1)
    assert door.roi == (0, 0, 0.5, 1) and door.polygon == ((0, 0), (0.5, 0), (0, 1))
    jsonl, webhook, clips = site.sinks
    assert (jsonl.kind, jsonl.path) == ("jsonl", folder / "state" / "events.jsonl")
    assert jsonl.max_bytes == 500_000
    assert (webhook.url, webhook.token) == ("https://host/hook?token=x", "t0ken")
    assert webhook.spool.folder == folder / "state" / "spool"
    assert (webhook.spool.max_bytes, webhook.spool.max_age_s) == (100_000_000, 43_200)
    assert clips.folder == folder / "state" / "films"
    # That of the door: two lengths of 4 s and strides of 1 s, a gap of 1 s, and 10 s.
    options = {"pre_s": 2.0, "overlay": True, "budget_bytes": 500_000, "look_back_s": 21.0}
    assert clips.options == ClipOptions(**options)
    for secret in ("p@ss", "p%40ss", "u:p", "token=x", "t0ken"):
        assert secret not in repr(site)
    assert site == load_site(folder / "site.toml", state_dir=folder / "state", environ=environ)


def test_event_options_are_those_of_streams_then_of_all_then_of_the_camera(good, monkeypatch):
    folder, environ = good
    monkeypatch.chdir(folder)
    site = load_site(folder / "site.toml", state_dir=folder / "state", environ=environ)
    bench, door, film = (camera.events for camera in site.cameras)
    streams = {"update_interval_s": 30.0, "background": ["idle"], "on_threshold": 0.6}
    of_place = {"place": {"cooldown_s": 3.0}}
    # The bench's stride is the model's: 0.5 s at 2 s.
    assert bench == EventOptions(
        **streams,
        off_threshold=0.4,
        merge_gap_s=0.5,
        per_class={"pick": {"on_threshold": 0.8}} | of_place,
    )
    assert door == EventOptions(
        **streams,
        off_threshold=0.5,
        merge_gap_s=1,
        per_class={"pick": {"on_threshold": 0.7}} | of_place,
    )
    assert film == EventOptions(on_threshold=0.9, min_duration_s=1, cooldown_s=2)


def test_the_example_can_film_its_events(tmp_path):
    """With the lines about clips that are comments in it."""
    text = EXAMPLE.read_text("utf-8")
    more = re.sub(r"^# (\[|\w+ = )", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "model").symlink_to(BUNDLED)
    sinks = []
    for toml in (text, more):
        (tmp_path / "site.toml").write_text(toml, "utf-8")
        site = load_site(tmp_path / "site.toml", environ=dict.fromkeys(EXAMPLE_SECRETS, "x"))
        sinks.append(site.sinks)
    off, on = sinks
    assert on[:-1] == off and on[-1].folder == tmp_path / "clips"
    assert on[-1].options == ClipOptions(look_back_s=on[-1].options.look_back_s)


def test_check_says_so_and_goes(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(RIGHT)
    done = run("run", "--config", file, "--check")
    assert (done.returncode, done.stdout) == (0, f"{file}: is right: cameras bench; sinks stdout\n")
    file.write_text(RIGHT.replace("bench", "b", 1).replace("stdout", "stdin"))
    assert_refused(run("run", "--config", file, "--check"), f"{file}:6: sinks.stdin", code=2)
    file.write_text(FAULTY)
    for arguments in (["--check"], []):
        done = run("run", "--config", file, *arguments)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == len(FAULTS)


def test_a_site_is_not_told_anything_beside_its_file(tmp_path):
    done = run("run", "film.mp4", "--config", "site.toml", "--model", "m", "--per-window")
    assert_refused(done, "--config says it all: must be without SOURCES, --model, --per-w", code=2)
    assert_refused(run("run", "film.mp4"), "must be SOURCES and --model, or --config", code=2)
    assert_refused(run("run", "film.mp4", "--model", "m", "--check"), "or --config", code=2)


def test_certificates_are_looked_at(tmp_path):
    own, key = make_certificate(tmp_path, "camera", password="sesame")
    file = tmp_path / "site.toml"
    mqtt = """\
[sinks.mqtt]
url = "mqtts://broker"
cert_file = "camera.pem"
key_file = "camera.key"
key_password_env = "KEY"
[sinks.webhook]
url = "https://host/"
ca_file = "camera.pem"
"""
    file.write_text(RIGHT + mqtt)
    site = load_site(file, environ={"KEY": "sesame"})
    _, webhook, broker = site.sinks
    assert broker.certificates == Certificates(None, own, key, "sesame")
    assert webhook.certificates == Certificates(own)
    assert "sesame" not in repr(site)
    with pytest.raises(SiteError, match="site.toml:7: sinks.mqtt: .*with another password"):
        load_site(file, environ={"KEY": "wrong"})


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
