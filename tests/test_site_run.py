"""A site at work: real processes, real cameras, real signals."""

import json
import os
import re
import shutil
import socket
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from event_films import made, nothing_else, seen
from locked_camera import LockedCamera
from site_process import SiteProcess, camera_table, site_text
from stallserver import Camera
from test_metrics import scrape
from test_spool import drained
from waiting import wait_for
from webhook_server import WebhookServer

from ppsdk import Recognizer
from ppsdk.sinks import CsvFile
from ppsdk.site.load import load_site
from ppsdk.site.notify import tell_systemd
from ppsdk.site.problems import SiteError
from ppsdk.site.run import RunningSite

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")

JSONL = '[sinks.jsonl]\npath = "events.jsonl"\n'
LABELS = {f"class_{i:03d}" for i in range(5)}
PASSWORD = "p@ss:w/rd%"


def of(events, source, phase=None):
    return [e for e in events if e["source"] == source and phase in (None, e["phase"])]


def assert_ends_once(events):
    """Each event has one start and one end, and nothing behind it."""
    for id in {e["id"] for e in events}:
        records = [e for e in events if e["id"] == id]
        assert records[0]["phase"] == "start" and records[-1]["phase"] == "end"
        assert [e["sequence"] for e in records] == list(range(len(records)))
        assert [e["phase"] for e in records].count("end") == 1


class ServiceManager:
    """What a service tells systemd, message by message."""

    def __init__(self, folder):
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(0.1)

    def told(self):
        messages = []
        try:
            while True:
                message = self._socket.recv(4096).decode()
                messages.append(dict(line.split("=", 1) for line in message.split("\n")))
        except TimeoutError:
            return messages

    def close(self):
        self._socket.close()


def test_an_open_event_of_an_unchanged_camera_goes_on_over_a_reload(tiny_dir, tmp_path):
    """The bench stays, the door gets another stride, the gate goes and the hall comes; then come
    files that are refused.
    """
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    secrets = 'user_env = "BENCH_USER"\npassword_file = "password"'
    manager = ServiceManager(tmp_path)
    environ = {"BENCH_USER": "viewer", "NOTIFY_SOCKET": manager.address}
    with LockedCamera(f"viewer:{PASSWORD}") as bench, Camera("live") as door, Camera(
        "live"
    ) as gate:
        unchanged = camera_table("bench", bench.url, secrets)
        before = [camera_table("door", door.url), camera_table("gate", gate.url)]
        after = [camera_table("door", door.url, "stride_s = 0.2"), camera_table("hall", gate.url)]
        text = site_text(tiny_dir, unchanged, *before, JSONL)
        with SiteProcess(tmp_path, text, "--metrics", "0", **environ) as site:
            for name in ("bench", "door", "gate"):
                site.wait_for_events(5, source=name, phase="start")
            assert manager.told() == [{"READY": "1", "STATUS": "3 cameras"}]
            csv = '[sinks.csv]\npath = "events.csv"\n[sinks.clips]\npath = "clips"\n'
            changed = site_text(tiny_dir, *after, unchanged, JSONL + "fsync = true\n", csv)
            told = site.reload(changed)
            site.wait_for_events(10, source="door", phase="start")
            site.wait_for_events(5, source="hall", phase="start")
            faults = site.reload(changed.replace("stride_s = 0.2", "stride_s = 0\nroi = [1]"))
            restart = site.reload(changed.replace("threads = 1", "threads = 2"))
            metrics = scrape(re.search(r"http://127.0.0.1:\d+/metrics", site.errors)[0])
            code, _ = site.stop()
            events, errors = site.events(), site.errors
    assert {key[1] for key in metrics if key[0] == "ppsdk_windows_total"} == {
        *("bench", "door", "hall")
    }
    sinks = {key[2] for key in metrics if key[0] == "ppsdk_sink_records_total"}
    assert (
        sinks == {"jsonl", "csv", "clips"}
        and metrics["ppsdk_events_started_total", "bench", "class_001"]
    )
    changes = (
        "another sink jsonl, new sink csv, new sink clips, another camera door, new camera hall, "
        "without camera gate"
    )
    assert f"reloaded: {changes}\n" in told
    number = changed[: changed.index("stride_s = 0.2")].count("\n") + 1
    assert f"site.toml:{number}: cameras.stride_s is 0: must be" in faults
    assert f"site.toml:{number + 1}: cameras.roi is " in faults
    assert "not reloaded, all goes on as it was: 2 problems" in faults
    assert "ERROR: threads: changed, which takes a restart\n" in restart
    assert (len(bench.asked), len(door.opened), len(gate.opened)) == (2, 2, 2)
    assert bench.asked == ["", f"viewer:{PASSWORD}"], "it is opened once, after a 401"
    assert code == 0
    assert_ends_once(events)
    starts = {e["label"]: e["id"] for e in of(events, "bench", "start")}
    assert set(starts) == LABELS and len(of(events, "bench")) == 10, "from first to last"
    assert {e["ended_by"] for e in events if e["phase"] == "end"} == {"end"}
    header, *rows = (tmp_path / "events.csv").read_text().splitlines()
    assert "label" in header and len(rows) >= 10 + 5 + 5, "all ends, and the starts that came then"
    filmed = {record["event"]["source"] for _, record in made(tmp_path / "clips")}
    assert filmed == {"door", "hall"} and nothing_else(tmp_path / "clips"), "of what starts then"
    assert metrics["ppsdk_clips_failed_total", "clips"] == 0
    states = [(t.get("READY"), t.get("STATUS"), t.get("RELOADING")) for t in manager.told()]
    manager.close()
    assert states[0] == (None, None, "1") and states[1] == ("1", f"reloaded: {changes}", None)
    assert states[3][1] == "not reloaded, all goes on as it was: 2 problems"
    for secret in (PASSWORD, "p%40ss", "viewer"):
        assert secret not in errors + json.dumps(events) + json.dumps(states)


@pytest.mark.parametrize("address", ["@ppsdk-{}", "user@1/notify"])
def test_a_service_manager_listens_at_a_path_or_at_no_path(tmp_path, monkeypatch, address):
    """A name that begins with an @ is no file's; one may be in a path, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user@1").mkdir()
    address = address.format(os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if address[0] == "@" else address)
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        tell_systemd(READY=1, STATUS="here")
        assert manager.recv(100) == b"READY=1\nSTATUS=here"


class HereSite:
    """A site in this process, that runs in a thread."""

    def __init__(self, folder, recognizer):
        self._file = folder / "site.toml"
        self._recognizer = recognizer

    def start(self, text):
        self.running = RunningSite(self._load(text), self._recognizer)
        self._thread = threading.Thread(target=self.running.run, args=(lambda event: None,))
        self._thread.start()

    def change(self, text):
        return self.running.change(self._load(text))

    def stop(self):
        self.running.stop()
        self._thread.join()
        self.running.close()

    def wait_for_clips(self, count):
        (clips,) = [sink for sink in self.running.sinks.sinks if sink.name == "clips"]
        wait_for(lambda: clips.counts().written >= count)

    def _load(self, text):
        self._file.write_text(text, "utf-8")
        return load_site(self._file)


def test_clips_come_change_and_go_while_a_camera_goes_on(tiny_dir, tmp_path):
    """Every window is an event. The camera is opened once, and all clips are whole: of pictures
    that were not read before clips were asked for.
    """
    with Camera("live") as door, Recognizer(tiny_dir, num_threads=1) as recognizer:
        without = site_text(tiny_dir, camera_table("door", door.url), JSONL)
        without = without.replace("[events]", "[events]\nper_window = true")
        without = without.replace("independent = true\n", "")
        site = HereSite(tmp_path, recognizer)
        site.start(without)
        try:
            wait_for(lambda: (tmp_path / "events.jsonl").read_text())
            frames = site.running.streams.statistics()["door"].frames
            one = f'{without}[sinks.clips]\npath = "one"\npre_s = 0.5\npost_s = 0.12\n'
            told = [site.change(one)]
            site.wait_for_clips(1)
            told.append(site.change(one.replace("0.12", "0.2")))
            told.append(site.change(one.replace('"one"', '"other/one"')))
            site.wait_for_clips(1)
            told.append(site.change(without))
        finally:
            site.stop()
    assert told == ["new sink clips", "another sink clips", *told[1:2], "without sink clips"]
    assert len(door.opened) == 1 and not site.running.failed()
    events = {json.loads(line)["id"] for line in (tmp_path / "events.jsonl").open()}
    for folder in (tmp_path / "one", tmp_path / "other" / "one"):
        assert made(folder) and nothing_else(folder)
        for path, record in made(folder):
            indices, _ = seen(path)
            assert 0 < frames <= indices[0] and record["event"]["id"] in events
            assert all(one < next_one for one, next_one in pairwise(indices))


def test_what_only_a_restart_can_change_is_named_and_all_goes_on(tiny_dir, tmp_path):
    """Files of the model that are copied again do not count, other ones do; nor is anything else
    done of what the file says then.
    """
    model = shutil.copytree(tiny_dir, tmp_path / "model")
    with Camera("live") as door, Recognizer(model, num_threads=1) as recognizer:
        text = site_text(model, camera_table("door", door.url), JSONL)
        site = HereSite(tmp_path, recognizer)
        site.start(text)
        try:
            weights, xml = model / "model.bin", model / "model.xml"
            weights.write_bytes(weights.read_bytes())
            assert site.change(text) == "nothing has changed"
            xml.write_text(xml.read_text() + "\n")
            more = text + '[sinks.csv]\npath = "events.csv"\n'
            told = f"the files in {model}: changed, which takes a restart"
            with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
                site.change(more)
            other = more.replace(str(model), str(tiny_dir)).replace("threads = 1", "threads = 2")
            with pytest.raises(
                ValueError, match="^model, threads: changed, which takes a restart$"
            ):
                site.change(other)
            weights.write_bytes(b"half of it")
            with pytest.raises(SiteError, match="model.bin: damaged or of another model"):
                site.change(more)
            windows = site.running.streams.statistics()["door"].windows
            wait_for(lambda: site.running.streams.statistics()["door"].windows > windows)
        finally:
            site.stop()
    assert len(door.opened) == 1 and not (tmp_path / "events.csv").exists()


def test_a_sink_that_cannot_be_opened_is_told_of_and_harms_no_other(tiny_dir, tmp_path, caplog):
    with Camera("live") as door, Recognizer(tiny_dir, num_threads=1) as recognizer:
        text = site_text(tiny_dir, camera_table("door", door.url), JSONL)
        site = HereSite(tmp_path, recognizer)
        site.start(text)
        csv = '[sinks.csv]\npath = "{}.csv"\n'
        try:
            with CsvFile(tmp_path / "taken.csv"):
                assert site.change(text + csv.format("taken")) == "sink csv is not there"
                assert site.change(text + csv.format("mine")) == "new sink csv"
                assert site.change(text + csv.format("taken")) == "sink csv stays as it was"
            assert site.change(text + csv.format("taken")) == "another sink csv"
        finally:
            site.stop()
    assert caplog.text.count("sink csv cannot be opened: ") == 2


@pytest.mark.slow
def test_sigterm_ends_events_and_drains_what_it_can(tiny_dir, tmp_path):
    """One peer takes all, and one nothing: what that one is to get is on disk when the site goes,
    within the ten seconds that sinks have.
    """
    with Camera("live") as door, WebhookServer(lambda number: 500) as away:
        webhook = f'[sinks.webhook]\nurl_env = "HOOK"\nsecret_env = "SECRET"\n{JSONL}'
        sinks = webhook + "[sinks.spool]\npath = 'waiting'\n"
        text = site_text(tiny_dir, camera_table("door", door.url), "[sinks]\nstdout = true", sinks)
        with SiteProcess(tmp_path, text, HOOK=away.url, SECRET="hush") as site:
            site.wait_for_events(5, source="door", phase="start")
            since_s = time.monotonic()
            code, told = site.stop()
            took_s = time.monotonic() - since_s
            events, errors = site.events(), site.errors
    assert code == 0 and took_s < 20
    assert_ends_once(events)
    lines = [json.loads(line) for line in told.splitlines()]
    assert lines == events and len(events) >= 10
    waiting = drained(tmp_path / "waiting" / "webhook.db")
    assert [json.loads(record.body) for record in waiting] == events
    for secret in ("hush", "tell-nobody", "k3y"):
        assert secret not in errors + told


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_sigterm_says_that_records_were_lost(tiny_dir, tmp_path):
    """A full disk, as Linux plays it."""
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    with Camera("live") as door:
        sinks = '[sinks]\nstdout = true\n[sinks.jsonl]\npath = "full.jsonl"\n'
        text = site_text(tiny_dir, camera_table("door", door.url), sinks)
        with SiteProcess(tmp_path, text) as site:
            site.wait_for(lambda: "jsonl: a record is lost" in site.errors)
            code, told = site.stop()
            errors = site.errors
    events = [json.loads(line) for line in told.splitlines()]
    assert code == 1 and f"jsonl: {len(events)} records are lost" in errors
    assert_ends_once(events)


@pytest.mark.slow
def test_a_reload_sends_what_waits_to_another_peer(tiny_dir, tmp_path):
    with Camera("live") as door, WebhookServer(
        lambda number: 500
    ) as away, WebhookServer() as there:
        (tmp_path / "hook").write_text(away.url)
        sinks = f'{JSONL}[sinks.webhook]\nurl_file = "hook"\n'
        text = site_text(tiny_dir, camera_table("door", door.url), sinks)
        with SiteProcess(tmp_path, text) as site:
            site.wait_for_events(5, source="door", phase="start")
            site.wait_for(lambda: away.requests)
            (tmp_path / "hook").write_text(there.url)
            assert "reloaded: another sink webhook\n" in site.reload(text)
            code, _ = site.stop()
            events = site.events()
    assert code == 0 and len(door.opened) == 1
    assert [json.loads(body) for _, body in there.taken] == events
    assert_ends_once(events)


@pytest.mark.slow
def test_a_camera_that_is_not_there_and_one_with_a_wrong_password_harm_no_other(tiny_dir, tmp_path):
    with LockedCamera("viewer:right") as bench, Camera("never") as gate, Camera("live") as door:
        secrets = 'user_env = "BENCH_USER"\npassword_env = "BENCH_PASSWORD"'
        tables = [
            camera_table("bench", bench.url, secrets),
            camera_table("gate", gate.url),
            camera_table("door", door.url),
        ]
        text = site_text(tiny_dir, *tables, JSONL, timeout_s=2.0)
        environ = {"BENCH_USER": "viewer", "BENCH_PASSWORD": "wr0ng/one"}
        with SiteProcess(tmp_path, text, **environ) as site:
            site.wait_for_events(5, source="door", phase="start")
            site.wait_for(lambda: "WARNING: bench: lost" in site.errors)
            site.wait_for(lambda: "gate: lost: cannot open (no answer for 2 s)" in site.errors)
            code, _ = site.stop()
            errors, events = site.errors, site.events()
    assert code == 0 and {e["source"] for e in events} == {"door"}
    assert "viewer:wr0ng/one" in bench.asked
    for secret in ("viewer", "wr0ng", "wr0ng%2Fone"):
        assert secret not in errors
