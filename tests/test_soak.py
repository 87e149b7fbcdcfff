"""The soak finds what went wrong, and nothing goes wrong in two minutes of it."""

import subprocess
import sys
import time

import pytest
from conftest import HERE

from ppsdk import ActionEvent, StreamStatus

BENCHMARKS = HERE.parent / "benchmarks"


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import soak

    return soak


def watched(soak, *kinds, faults=()):
    one = soak.Watched("camera 1", ("stall",))
    for fault in faults:
        one.make_fault(fault)
    for kind in kinds:
        one.note(StreamStatus(kind, "camera 1", 1.0, "2026-01-01T00:00:00+00:00", "why"))
    return one


@pytest.mark.parametrize(
    ("kinds", "faults", "says"),
    [
        (["lost", "restored", "changed"], ["stall", "resize"], None),
        (["lost", "restored"], ["stall", "close"], "close went unseen"),
        (["lost", "lost"], ["stall", "close"], "no pairs"),
        (["frozen"], ["resize"], "resize went unseen"),
    ],
)
def test_a_fault_that_nothing_told_of_fails(soak, kinds, faults, says):
    one = watched(soak, *kinds, faults=faults)
    problems = soak.report([one], [100.0] * 120, time.monotonic())
    assert len(problems) == (says is not None) and all(says in problem for problem in problems)


def test_growth_an_error_and_a_stream_that_stands_still_fail(soak):
    now_s = time.monotonic()
    assert soak.report([], [*[100.0] * 60, *[119.9] * 60], now_s) == []
    assert "memory grew by 20.1 MB" in soak.report([], [*[100.0] * 70, *[120.1] * 60], now_s)[0]
    one = watched(soak)
    one.progress = lambda: 7
    one.look()
    one.moved_s -= 60
    assert "no window for 60 s" in soak.report([one], [100.0] * 120, now_s)[0]
    one.progress = lambda: 8
    assert soak.report([one], [100.0] * 120, now_s) == []
    failed = watched(soak, "failed")
    assert "camera 1: broke" in soak.report([failed], [100.0] * 120, now_s)[0]


def test_an_event_without_one_start_and_one_end_fails(soak):
    def record(id_, phase, sequence):
        return ActionEvent(id_, "A", 0, 0.9, 1.0, 2.0, "door", phase=phase, sequence=sequence)

    def broken():
        raise RuntimeError("boom")
        yield

    good = [record("a", "start", 0), record("a", "update", 1), record("a", "end", 2)]
    for records, says in [
        (good, []),
        ([*good, record("a", "end", 3)], ["door: end of an event that is not open"]),
        (good[:2], ["1 events have no end"]),
        (broken(), ["door: broke: RuntimeError('boom')"]),
    ]:
        book = soak.EventBook()
        book.take("door", records)
        book.finish()
        assert book.problems == says


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_two_minutes():
    command = [sys.executable, BENCHMARKS / "soak.py", "--minutes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("seen after") > 20
