"""The soak finds what went wrong, and nothing goes wrong in two minutes of it."""

import subprocess
import sys

import pytest
from conftest import HERE

from ppsdk import StreamStatus

BENCHMARKS = HERE.parent / "benchmarks"


@pytest.fixture
def soak(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import soak

    return soak


def watched(soak, *kinds, faults=()):
    one = soak.Watched("camera 1", ("stall",), lambda kind: None)
    one.windows = 1
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
    problems = soak.report([watched(soak, *kinds, faults=faults)], [100.0] * 120)
    assert len(problems) == (says is not None) and all(says in problem for problem in problems)


def test_growth_an_error_and_a_stream_that_stands_still_fail(soak):
    assert soak.report([], [*[100.0] * 60, *[119.9] * 60]) == []
    assert "memory grew by 20.1 MB" in soak.report([], [*[100.0] * 70, *[120.1] * 60])[0]
    one = watched(soak)
    one.window_at_s -= 60
    assert "no window for 60 s" in soak.report([one], [100.0] * 120)[0]
    one.error = RuntimeError("boom")
    assert "broke: RuntimeError('boom')" in soak.report([one], [100.0] * 120)[0]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_two_minutes():
    command = [sys.executable, BENCHMARKS / "soak.py", "--minutes", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("seen after") > 20
