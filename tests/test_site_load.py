"""A site's file that is right: what it says."""

import re
from pathlib import Path

import pytest
from certificates import make_certificate
from test_site_problems import RIGHT

from ppsdk import EventOptions
from ppsdk.demo.run import BUNDLED
from ppsdk.event_options import write_options
from ppsdk.sinks import Certificates
from ppsdk.sinks.clips import ClipOptions
from ppsdk.site.load import load_site
from ppsdk.site.problems import SiteError

EXAMPLE = Path(__file__).parent.parent / "examples" / "site" / "site.toml"


EXAMPLE_SECRETS = ("BENCH_USER", "BENCH_PASSWORD", "WEBHOOK_SECRET")


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
events.per_class.place.min_duration_s = 3
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
    of_classes = {label: {"on_threshold": 0.95} for label in ("pick", "place")}
    tuned = EventOptions(on_threshold=0.9, min_duration_s=1, per_class=of_classes)
    write_options(tuned, tmp_path / "tuned.json")
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
    assert (webhook.kind, webhook.remote.url) == ("webhook", "https://host/hook?token=x")
    assert webhook.remote.token == "t0ken"
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
    of_file = {"pick": {"on_threshold": 0.95}, "place": {"min_duration_s": 3.0}}
    assert film == EventOptions(on_threshold=0.9, min_duration_s=1, cooldown_s=2, per_class=of_file)


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
    assert broker.remote.certificates.files == Certificates(None, own, key, "sesame")
    assert webhook.remote.certificates.files == Certificates(own)
    assert "sesame" not in repr(site)
    assert load_site(file, environ={"KEY": "sesame"}).sinks == site.sinks
    with pytest.raises(SiteError, match="site.toml:7: sinks.mqtt: .*with another password"):
        load_site(file, environ={"KEY": "wrong"})
    make_certificate(tmp_path, "camera", password="sesame")
    _, *renewed = load_site(file, environ={"KEY": "sesame"}).sinks
    assert renewed[0] != webhook and renewed[1] != broker, "under the same names"
