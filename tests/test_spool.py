"""The spool: at least once, in order, bounded, through kills and full disks."""

import json
import logging
import subprocess
import sys
import threading
import time
from collections import defaultdict
from itertools import pairwise

import pytest
from action_records import many, record, whole_event
from test_sinks import alone
from waiting import wait_for

from ppsdk import ActionEvent
from ppsdk.sinks import Refused, Spool, Spooled

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and RLIMIT_FSIZE")


class Peer:
    """Keeps what it is sent; `answer` may raise first."""

    name = "peer"

    def __init__(self, answer=lambda record: None):
        self.answer, self.records, self.closed = answer, [], False

    def send(self, record):
        self.answer(record)
        self.records.append(record)

    def events(self):
        return [ActionEvent.from_dict(json.loads(record.body)) for record in self.records]

    def close(self):
        self.closed = True


def wait_empty(sink):
    wait_for(lambda: not sink.counts().waiting)


def drained(path):
    """What is still in the file, in the order in which it would be sent."""
    spool = Spool(path)
    records = []
    while (record := spool.next()) is not None:
        records.append(record)
        spool.forget(record)
    spool.close()
    return records


def test_records_come_in_order_and_once_from_a_peer_that_answers(tmp_path):
    peer = Peer()
    with Spooled(Spool(tmp_path / "spool.db"), peer) as sink:
        for event in many(300):
            sink(event)
        wait_empty(sink)
    assert peer.events() == many(300) and peer.closed
    keys = [record.key for record in peer.records]
    assert len(set(keys)) == 300 and keys[:2] == ["door-0-0", "door-0-1"]


def test_a_peer_that_returns_gets_what_waited(tmp_path, caplog):
    there = threading.Event()

    def answer(record):
        if not there.is_set():
            raise ConnectionError("refused")

    peer = Peer(answer)
    caplog.set_level(logging.WARNING)
    with Spooled(Spool(tmp_path / "spool.db"), peer, shortest_s=0.01, longest_s=0.05) as sink:
        for event in many(200):
            sink(event)
        assert sink.counts().waiting == 200 and not peer.records
        there.set()
        wait_empty(sink)
    assert peer.events() == many(200)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["peer: takes no records, they wait: refused", "peer: takes records again"]


def test_what_is_left_at_close_comes_at_the_next_start(tmp_path, caplog):
    def never(record):
        raise ConnectionError("refused")

    events = many(9)
    sink = Spooled(Spool(tmp_path / "spool.db"), Peer(never), close_s=0.2)
    for event in events[:6]:
        sink(event)
    sink.close()
    assert "peer: 6 records wait for the next start" in caplog.text
    peer = Peer()
    with Spooled(Spool(tmp_path / "spool.db"), peer) as sink:
        for event in events[6:]:
            sink(event)
        wait_empty(sink)
    assert peer.events() == events


def test_a_refused_record_does_not_hold_up_the_next(tmp_path):
    def answer(record):
        if record.sequence == 1:
            raise Refused("too odd")

    peer = Peer(answer)
    with Spooled(Spool(tmp_path / "spool.db"), peer) as sink:
        for event in many(9):
            sink(event)
        wait_empty(sink)
        assert (sink.counts().refused, sink.counts().dropped) == (3, 3)
    assert peer.events() == [event for event in many(9) if event.sequence != 1]


def test_bounded_by_size_the_oldest_give_way_and_are_counted(tmp_path):
    path = tmp_path / "spool.db"
    body = len(json.dumps(record().to_dict()))
    spool = Spool(path, max_bytes=3 * body)
    for number in range(8):
        spool.put(record(id=str(number)))
    counts = spool.counts()
    assert (counts.waiting, counts.size, counts.too_many) == (3, 3 * body, 5)
    # What is being sent stays: the next ones give way.
    assert spool.next().id == "5"
    spool.put(record(id="8"))
    spool.close()
    spool = Spool(path)
    assert spool.counts().too_many == 6  # the count outlives the process
    spool.close()
    assert [each.id for each in drained(path)] == ["5", "7", "8"]


def test_a_record_that_is_never_taken_gives_way_too(tmp_path):
    """A peer that chokes on one record does not choke for ever."""

    def answer(record):
        if record.id == "bad":
            raise ConnectionError("status 500")

    peer, body = Peer(answer), len(json.dumps(record().to_dict()))
    spool = Spool(tmp_path / "spool.db", max_bytes=4 * body)
    with Spooled(spool, peer, shortest_s=0.01, longest_s=0.02) as sink:
        sink(record(id="bad"))
        for number in range(10):
            sink(record(id=str(number)))
            time.sleep(0.03)
        wait_empty(sink)
        lost = sink.counts().too_many
    assert lost >= 1 and len(peer.records) == 11 - lost
    assert [each.id for each in peer.records] == [str(number) for number in range(lost - 1, 10)]


def test_one_record_larger_than_the_bound_is_kept(tmp_path):
    spool = Spool(tmp_path / "spool.db", max_bytes=1)
    spool.put(record(id="0"))
    spool.put(record(id="1"))
    assert (spool.counts().waiting, spool.counts().too_many) == (1, 1)
    assert spool.next().id == "1"
    spool.close()


def test_bounded_by_age(tmp_path):
    now = [1000.0]
    spool = Spool(tmp_path / "spool.db", max_age_s=60, clock=lambda: now[0])
    for number in range(5):
        spool.put(record(id=str(number)))
        now[0] += 30
    # 1120 when the last came: those of 1000 and 1030 are older than 60 s.
    assert (spool.counts().waiting, spool.counts().too_old) == (3, 2)
    # 1150, and no new one has come.
    assert spool.next().id == "3" and spool.counts().too_old == 3
    spool.close()


def test_what_is_too_old_goes_at_the_next_start_too(tmp_path):
    start_s = time.time()
    spool = Spool(tmp_path / "spool.db", max_age_s=60, clock=lambda: start_s - 100)
    for event in many(3):
        spool.put(event)
    spool.close()
    spool = Spool(tmp_path / "spool.db", max_age_s=60)
    assert (spool.counts().waiting, spool.counts().too_old) == (1, 2), "the newest stays"
    spool.close()


@pytest.mark.parametrize("wrong_s", [100.0, 4e9])
def test_a_clock_that_was_wrong_loses_nothing(tmp_path, wrong_s):
    """A machine without a clock of its own begins in 1970, and is set once it has a network."""
    spool = Spool(tmp_path / "spool.db", max_age_s=60, clock=lambda: wrong_s)
    for event in many(5):
        spool.put(event)
    spool.close()
    now = [time.time()]
    spool = Spool(tmp_path / "spool.db", max_age_s=60, clock=lambda: now[0])
    spool.put(record(id="new"))
    assert (spool.counts().waiting, spool.counts().too_old) == (7, 0), "an interrupted end, too"
    now[0] += 61
    spool.put(record(id="newer"))
    assert (spool.counts().waiting, spool.counts().too_old) == (1, 7)
    spool.close()


def test_open_events_end_as_interrupted_at_the_next_start(tmp_path):
    path = tmp_path / "spool.db"
    spool = Spool(path)
    going_on, over = whole_event("going on")[:2], whole_event("over")
    for event in [*going_on, *over]:
        spool.put(event)
    while (sent := spool.next()) is not None:  # that they were sent does not matter
        spool.forget(sent)
    spool.close()
    (end,) = drained(path)
    event = ActionEvent.from_dict(json.loads(end.body))
    assert (event.id, event.phase, event.sequence) == ("going on", "end", 2)
    assert (event.ended_by, event.start_s, event.end_s) == ("interrupted", 1.0, 3.0)
    assert drained(path) == []  # once


def test_a_spool_is_for_one_process(tmp_path):
    path = tmp_path / "spool.db"
    spool = Spool(path)
    other = "import sys; from ppsdk.sinks import Spool\ntry: Spool(sys.argv[1])\n"
    other += "except OSError as error: print(error)"
    assert alone(other, path) == f"{path}: cannot be used as a spool: another process has it\n"
    spool.close()
    assert alone(other, path) == ""


def test_what_cannot_be_a_spool_is_refused(tmp_path):
    path = tmp_path / "spool.db"
    path.write_text("no database at all, but text that is long enough to be looked at" * 20)
    with pytest.raises(OSError, match="spool.db: cannot be used as a spool: file is not"):
        Spool(path)
    with pytest.raises(OSError, match="unable to open"):
        Spool(tmp_path / "none" / "spool.db")
    with pytest.raises(ValueError, match="max_bytes is 0"):
        Spool(path, max_bytes=0)


def lines(path):
    return [ActionEvent.from_dict(json.loads(line)) for line in path.read_text().splitlines()]


@posix
@pytest.mark.parametrize("kills", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_kills_lose_nothing(tmp_path, kills):
    script = "import spool_killed, sys; from pathlib import Path\n"
    script += "spool_killed.main(Path(sys.argv[1]), int(sys.argv[2]))"
    alone(script, tmp_path, kills)
    committed, delivered = lines(tmp_path / "committed"), lines(tmp_path / "delivered")
    once = list({(event.id, event.sequence): event for event in delivered}.values())
    assert len(once) < len(delivered)  # some came twice
    lives = {event.id.split("-")[1] for event in committed}
    assert len(lives) >= kills * 4 // 5  # the others did not live long enough to write
    for camera in ("door", "yard"):
        told = [event for event in once if event.source == camera]
        wanted = [event for event in committed if event.source == camera]
        assert [event for event in told if event in wanted] == wanted  # all, and in order
    phases = defaultdict(list)
    for event in once:
        phases[event.id].append(event)
    for records in phases.values():
        assert [event.sequence for event in records] == list(range(len(records)))
        assert [event.phase == "end" for event in records] == [False] * (len(records) - 1) + [True]
    interrupted = {event.id for event in once if event.ended_by == "interrupted"}
    assert interrupted and not interrupted & {e.id for e in committed if e.phase == "end"}


FULL_DISK = """
import json, resource, sys
from action_records import many
from ppsdk.sinks import Spool
spool, told = Spool(sys.argv[1]), []
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for number, event in enumerate(many(900)):
    if number == 600:  # the disk has room again
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    try:
        spool.put(event)
        told.append(event.to_dict())
    except OSError as error:
        assert sys.argv[1] in str(error)
counts = spool.counts()
print(json.dumps([told, counts.waiting, counts.unwritable]))
"""


@posix
def test_a_full_disk_loses_what_it_counts(tmp_path):
    path = tmp_path / "spool.db"
    told, waiting, unwritable = json.loads(alone(FULL_DISK, path))
    assert waiting == len(told) and unwritable == 900 - len(told)
    assert 0 < unwritable < 600 and told[-300:] == [event.to_dict() for event in many(900)[600:]]
    spool = Spool(path)
    assert spool.counts().unwritable == unwritable
    spool.close()
    bodies = [json.loads(each.body) for each in drained(path)]
    assert [body for body in bodies if body.get("ended_by") != "interrupted"] == told
    for earlier, later in pairwise(body for body in bodies if body["id"] == bodies[-1]["id"]):
        assert earlier["sequence"] < later["sequence"]


FULL_WHILE_SENDING = """
import resource, sys
from action_records import many
from test_spool import Peer
from waiting import wait_for
from ppsdk.sinks import Spool, Spooled
spool, peer = Spool(sys.argv[1]), Peer()
for event in many(30):
    spool.put(event)
resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
with Spooled(spool, peer) as sink:
    wait_for(lambda: len(peer.records) >= 30)
assert peer.events() == many(30)
"""


@posix
def test_what_a_full_disk_cannot_delete_is_not_sent_for_ever(tmp_path):
    alone(FULL_WHILE_SENDING, tmp_path / "spool.db")
    assert len(drained(tmp_path / "spool.db")) == 30  # at least once, so again at the next start


@pytest.mark.slow
@posix
def test_a_real_disk_that_is_full(tmp_path):
    """Needs root: 16 MB of tmpfs."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        spool = Spool(disk / "spool.db")
        (disk / "film").write_bytes(b"x" * 15_700_000)
        kept = []
        for number, event in enumerate(many(3000)):
            if number == 2000:
                (disk / "film").unlink()
            try:
                spool.put(event)
                kept.append(f"{event.id}-{event.sequence}")
            except OSError:
                pass
        assert 0 < spool.counts().unwritable == 3000 - len(kept)
        spool.close()
        keys = [each.key for each in drained(disk / "spool.db")]
        assert [key for key in keys if key in set(kept)] == kept
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
