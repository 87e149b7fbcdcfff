"""Files of events, and several sinks at once."""

import csv
import io
import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import date

import jsonschema
import pytest
from action_records import many, record, whole_event
from test_imports import ROOT

from ppsdk import ActionEvent
from ppsdk.sinks import CsvFile, JsonLines, Sinks, StdoutLines
from ppsdk.sinks.appended import AppendedFile
from ppsdk.sinks.files import COLUMNS
from ppsdk.sinks.interrupted import records_in_rows

SCHEMA = json.loads((ROOT / "ppsdk" / "event.schema.json").read_text())


def events_in(file):
    return [ActionEvent.from_dict(json.loads(line)) for line in file.read_text().splitlines()]


def test_json_lines_hold_every_record_at_once(tmp_path):
    file = tmp_path / "events.jsonl"
    with JsonLines(file, fsync=True) as sink:
        for number, event in enumerate(whole_event("é")):
            sink(event)
            assert events_in(file)[number] == event  # before it is closed
    for line in file.read_text("utf-8").splitlines():
        jsonschema.validate(json.loads(line), SCHEMA)
    with JsonLines(file) as sink:
        sink(record(id="b"))
    assert [event.id for event in events_in(file)] == ["é", "é", "é", "b"]


def test_a_half_line_of_a_killed_process_is_cut(tmp_path, caplog):
    file = tmp_path / "events.jsonl"
    with JsonLines(file) as sink:
        sink(record(id="a"))
    whole = file.read_bytes()
    for half in (b'{"vers', b"x" * 200_000):
        file.write_bytes(whole + half)
        JsonLines(file).close()
        assert file.read_bytes() == whole
        assert "events.jsonl: its last line is not whole" in caplog.text
        caplog.clear()
    file.write_bytes(b'{"version": 1')
    JsonLines(file).close()
    assert file.read_bytes() == b""


def test_open_events_of_a_killed_process_end_as_interrupted(tmp_path):
    file = tmp_path / "events.jsonl"
    with JsonLines(file) as sink:
        for event in [*whole_event("open")[:2], *whole_event("over")]:
            sink(event)
    with file.open("a") as lines:
        lines.write('{"no": "event"}\n{"half')
    JsonLines(file).close()
    JsonLines(file).close()  # once
    lines = file.read_text().splitlines()
    assert len(lines) == 7 and lines[5] == '{"no": "event"}'
    end = ActionEvent.from_dict(json.loads(lines[6]))
    assert (end.id, end.phase, end.sequence) == ("open", "end", 2)
    assert (end.ended_by, end.start_s, end.end_s) == ("interrupted", 1.0, 3.0)


def rows_in(file):
    text = file.read_bytes().decode("utf-8", "replace").replace("\0", "")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_open_events_in_a_csv_file_end_as_interrupted_too(tmp_path):
    """Whatever their values look like, and whatever else is in the file."""
    file = tmp_path / "events.csv"
    live = replace(
        record("start", id="12e5", label='pick,\n"up" é', source=""),
        start_time="2026-11-26T08:00:00+00:00",
        end_time="2026-11-26T08:00:02+00:00",
    )
    with CsvFile(file) as sink:
        for event in [live, *whole_event("over"), *whole_event("open")[:2]]:
            sink(event)
    with file.open("ab") as lines:
        lines.write(b"no,event\n\0\0\xff\n1,\n1,half")
    CsvFile(file).close()
    CsvFile(file).close()  # once
    rows = rows_in(file)
    assert len(rows) == 6 + 3 + 2
    assert rows[-2] == {
        **rows[0],
        **{"phase": "end", "sequence": "1", "ended_by": "interrupted"},
    }
    assert rows[-1] == {
        **rows[5],
        **{"phase": "end", "sequence": "2", "ended_by": "interrupted"},
    }


@pytest.mark.parametrize("kind", [JsonLines, CsvFile])
def test_an_event_that_goes_on_in_this_process_is_not_interrupted(tmp_path, kind):
    """A file that is closed and opened again meanwhile."""
    file = tmp_path / "events"
    with kind(file) as sink:
        sink(record("start", id="mine"))
        sink(record("start", id="killed"))
    with kind(file, going_on=["mine"]) as sink:
        sink(record(sequence=1, id="mine"))
    text = file.read_text()
    assert text.count("interrupted") == 1 and "killed" in text.splitlines()[-2]


@pytest.mark.parametrize("kind", [JsonLines, CsvFile])
def test_an_event_whose_start_was_set_aside_is_interrupted_too(tmp_path, kind):
    """Each line makes a file full; the eleventh is not the second."""
    file = tmp_path / "events[1].txt"
    with kind(file, max_bytes=1) as sink:
        for event in [*many(9), record("start", id="aside"), record("start", id="here")]:
            sink(event)
    kind(file, max_bytes=1).close()
    assert len(list(tmp_path.iterdir())) == 9 + 2 + 2
    kind(file, max_bytes=1).close()  # once
    assert len(list(tmp_path.iterdir())) == 9 + 2 + 2
    ends = [path.read_text() for path in tmp_path.iterdir() if "interrupted" in path.read_text()]
    assert sorted("aside" in end for end in ends) == [False, True]


def test_a_csv_file_is_read_back_as_it_was_written(tmp_path):
    events = [*many(7), replace(record("start"), decided_s=None, score=0.123456)]
    with CsvFile(tmp_path / "events.csv") as sink:
        for event in events:
            sink(event)
    assert list(records_in_rows(tmp_path / "events.csv")) == events


@pytest.mark.skipif(sys.platform == "win32", reason="not seen there")
def test_a_file_is_for_one_at_a_time(tmp_path):
    """Otherwise events that another has open would end as interrupted."""
    file = tmp_path / "events.jsonl"
    with JsonLines(file, max_bytes=1) as sink:
        for number in range(2):  # the second time in a new file
            sink(record("start", id=str(number)))
            with pytest.raises(OSError, match="events.jsonl: is being written already"):
                JsonLines(file)


def test_a_full_file_is_set_aside(tmp_path):
    file = tmp_path / "events.jsonl"
    line_bytes = len(json.dumps(record().to_dict())) + 1
    with JsonLines(file, max_bytes=2 * line_bytes) as sink:
        for number in range(5):
            sink(record(sequence=number))
    files = sorted(tmp_path.iterdir(), key=lambda path: events_in(path)[0].sequence)
    assert [[event.sequence for event in events_in(path)] for path in files] == [
        [0, 1],
        [2, 3],
        [4],
    ]
    assert files[-1] == file
    day = files[0].name.split(".")[1]
    assert [path.name for path in files[:2]] == [f"events.{day}.jsonl", f"events.{day}.1.jsonl"]
    date.fromisoformat(day)


def test_a_file_of_yesterday_is_set_aside(tmp_path):
    file = tmp_path / "events.csv"
    os.utime(_write(file, "head\nmonday\n"), (0, 0))  # 1970-01-01
    today = [date(1970, 1, 1)]
    appended = AppendedFile(file, header="head", daily=True, today=lambda: today[0])
    appended.append("monday too")
    today[0] = date(1970, 1, 2)
    appended.append("tuesday")
    appended.close()
    assert (tmp_path / "events.1970-01-01.csv").read_text() == "head\nmonday\nmonday too\n"
    assert file.read_text() == "head\ntuesday\n"


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be moved there")
@pytest.mark.parametrize("kind", [JsonLines, CsvFile])
def test_a_file_that_is_moved_or_deleted_is_begun_anew(tmp_path, caplog, kind):
    """As logrotate does it: what came later went into the old file, unseen."""
    file, moved = tmp_path / "events", tmp_path / "events.1"
    with kind(file) as sink:
        sink(record(id="one"))
        file.rename(moved)
        sink(record(id="two"))
        sink(record(id="three"))
        assert "one" in moved.read_text() and "two" not in moved.read_text()
        assert "two" in file.read_text() and "three" in file.read_text()
        file.unlink()
        sink(record(id="four"))
        sink(record(id="five"))
    assert "four" in file.read_text() and "five" in file.read_text()
    assert caplog.text.count("was moved or deleted: a new one is begun") == 2
    if kind is CsvFile:
        assert len(rows_in(file)) == 2, "with a header"


def test_a_folder_that_goes_and_comes_back(tmp_path):
    folder = tmp_path / "stick"
    folder.mkdir()
    file = folder / "events.jsonl"
    with JsonLines(file, max_bytes=1) as sink:
        sink(record(id="a"))
        folder.rename(tmp_path / "pulled out")
        for _ in range(2):
            with pytest.raises(OSError):
                sink(record(id="lost"))
        (tmp_path / "pulled out").rename(folder)
        sink(record(id="b"))
    (aside,) = folder.glob("events.*.jsonl")
    assert [event.id for event in events_in(aside) + events_in(file)] == ["a", "b"]


def _write(file, text):
    file.write_text(text)
    return file


@pytest.mark.parametrize("begins", ["label,start_s,end_s\n", "version,id\n", '{"version": 1}\n'])
def test_rows_are_not_put_below_other_columns(tmp_path, begins):
    file = tmp_path / "truth.csv"
    file.write_text(begins)
    with pytest.raises(ValueError, match="truth.csv: has other columns: must be a new file"):
        CsvFile(file)
    assert file.read_text() == begins


@pytest.mark.parametrize("text", ["label,start_s\npick,1", "[1, 2]\n", "notes"])
def test_json_lines_are_not_put_below_other_lines_nor_cut_from_them(tmp_path, text):
    file = tmp_path / "notes.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match="notes.txt: has other lines: must be a new file"):
        JsonLines(file)
    assert file.read_text() == text


@pytest.mark.parametrize("left", [b"", b"\0" * 8 + b"\n", b'{"version": 1}\n{"vers'])
def test_json_lines_go_on_behind_what_a_crash_left(tmp_path, left):
    file = tmp_path / "events.jsonl"
    file.write_bytes(left)
    with JsonLines(file) as sink:
        sink(record())
    assert json.loads(file.read_bytes().splitlines()[-1])["id"] == record().id


@pytest.mark.parametrize("left", ["", "version,i", ",".join(COLUMNS) + "\r\n"])
def test_a_header_that_is_whole_or_was_cut_is_its_own(tmp_path, left):
    file = tmp_path / "events.csv"
    file.write_text(left, newline="")
    with CsvFile(file) as sink:
        sink(record())
    header, row = file.read_text().splitlines()
    assert header == ",".join(COLUMNS) and row.startswith("1,")


def test_csv_has_a_column_for_each_value(tmp_path):
    file = tmp_path / "events.csv"
    for _ in range(2):  # opened again: one header
        with CsvFile(file) as sink:
            sink(record(label='pick, "up"'))
    rows = rows_in(file)
    assert len(rows) == 2 and rows[0] == rows[1]
    told = {name: value for name, value in rows[0].items() if value}
    assert told == {name: str(v) for name, v in record(label='pick, "up"').to_dict().items()}


def test_stdout_lines(capsys):
    with StdoutLines() as sink:
        sink(record())
    assert json.loads(capsys.readouterr().out) == record().to_dict()


FULL_DISK = """
import resource, sys
from action_records import record
from ppsdk.sinks import JsonLines
file = sys.argv[1]
with JsonLines(file) as sink:
    sink(record(id="a"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
    try:
        sink(record(id="b"))
    except OSError:
        print("full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    sink(record(id="c"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_leaves_no_half_line(tmp_path):
    """The limit falls into the second line."""
    assert 150 < len(json.dumps(record().to_dict())) < 300
    file = tmp_path / "events.jsonl"
    assert alone(FULL_DISK, file) == "full\n"
    assert [event.id for event in events_in(file)] == ["a", "c"]


FULL_AT_START = """
import resource, sys
from action_records import record
from ppsdk.sinks import JsonLines
file = sys.argv[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300, resource.RLIM_INFINITY))
with JsonLines(file) as sink:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    sink(record(id="b"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_does_not_keep_a_file_with_an_open_event_from_being_opened(tmp_path):
    """Other sinks, and what comes later, would have to do without."""
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(record("start", id="open").to_dict()) + "\n")
    alone(FULL_AT_START, file)
    assert [event.id for event in events_in(file)] == ["open", "b"]
    JsonLines(file).close()
    assert events_in(file)[-1].ended_by == "interrupted"


def alone(program, *arguments):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Told:
    """A sink that keeps what it is told, and does first what it is given."""

    def __init__(self, name, first=lambda event: None):
        self.name, self.first, self.events, self.closed = name, first, [], False

    def __call__(self, event):
        self.first(event)
        self.events.append(event)

    def close(self):
        self.closed = True

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def test_every_sink_is_told_everything_in_order():
    sinks = [Told("one"), Told("two")]
    with Sinks(sinks) as fan:
        for event in many(500):
            fan(event)
    for sink in sinks:
        assert sink.events == many(500) and sink.closed
        assert (fan.counts()[sink.name].taken, fan.counts()[sink.name].dropped) == (500, 0)


def test_one_that_fails_and_one_that_hangs_harm_nobody(caplog):
    """The hanging one has one record in hand and two in its queue: the other 497 are dropped."""
    going, in_hand = threading.Event(), threading.Event()

    def hang(event):
        in_hand.set()
        going.wait(60)

    def fail(event):
        raise RuntimeError("no such table")

    good, failing, hanging = Told("good"), Told("failing", fail), Told("hanging", hang)
    seen = threading.Semaphore(0)
    good.first = lambda event: seen.release()
    with caplog.at_level(logging.ERROR):
        fan = Sinks([hanging, failing, good], queue_size=2, close_s=2)
        for number, event in enumerate(many(500)):
            fan(event)
            assert seen.acquire(timeout=20)
            if not number:
                assert in_hand.wait(20)
        fan.close()
    assert good.events == many(500) and good.closed and not hanging.closed
    counts = fan.counts()
    assert counts["failing"].failed + counts["failing"].dropped == 500
    assert counts["failing"].failed > 0 and counts["failing"].taken == 0
    # Two more were queued when it was left to itself.
    assert counts["hanging"].dropped == 499
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("failing: a record is lost: no such table") == 1
    assert sum(message.startswith("hanging: too slow") for message in messages) == 1
    assert "hanging: does not come to an end: 2 records dropped" in messages
    fan(record())
    assert fan.counts()["good"].dropped == 1  # after close
    going.set()


def test_sinks_refuse_what_cannot_be_told_apart():
    with pytest.raises(ValueError, match="two sinks are called 'x'"):
        Sinks([Told("x"), Told("x")])
    with pytest.raises(ValueError, match="queue_size=0"):
        Sinks([], queue_size=0)
