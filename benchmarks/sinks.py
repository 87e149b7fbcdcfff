"""What records of events cost on their way to disk: python benchmarks/sinks.py [--records N]

Five rounds, in which all ways take turns with a fifth of the records each: as text only, to a JSON
lines file, to a spool whose peer is away, to a spool that a peer empties at once (until it has the
last), and to a file and such a spool together through `Sinks`, as `ppsdk run` does. Medians, and
the ratio to the file's; then the memory of the process when it started, and at most.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from machine import machine_line

from ppsdk.records import ActionEvent
from ppsdk.sinks import JsonLines, Sinks, Spool, Spooled, SpooledRecord
from ppsdk.sinks.protocol import as_line

ROUNDS = 5


class Peer:
    """Takes everything, or nothing."""

    name = "peer"

    def __init__(self, there: bool = True) -> None:
        self._there = there

    def send(self, record: SpooledRecord) -> None:
        if not self._there:
            raise ConnectionError("away")

    def close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="for each way")
    args = parser.parse_args()
    print(machine_line())
    logging.getLogger("ppsdk").setLevel(logging.ERROR)  # the peer is away on purpose
    count, before_mb = args.records // ROUNDS, _most_mb()
    ways: dict[str, Callable[[Path, int], None]] = {
        "text": as_text,
        "file": to_file,
        "spool, peer away": to_spool,
        "spool and peer": through_spool,
        "file, spool and peer": through_sinks,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                start_s = time.perf_counter()
                way(Path(folder), count)
                rates[name].append(count / (time.perf_counter() - start_s))
    for name, seen in rates.items():
        rate = statistics.median(seen)
        ratio = rate / statistics.median(rates["file"])
        print(f"  {name:22} {rate:9,.0f} records/s ({ratio:.2f} of the file's)")
    print(f"  memory: {before_mb:.0f} MB before the first record, {_most_mb():.0f} MB at most")


def as_text(folder: Path, count: int) -> None:
    for event in records(count):
        as_line(event)


def to_file(folder: Path, count: int) -> None:
    with JsonLines(folder / "events.jsonl") as sink:
        for event in records(count):
            sink(event)


def to_spool(folder: Path, count: int) -> None:
    with Spooled(Spool(folder / "spool.db"), Peer(there=False), close_s=0) as sink:
        for event in records(count):
            sink(event)


def through_spool(folder: Path, count: int) -> None:
    with Spooled(Spool(folder / "spool.db"), Peer()) as sink:
        for event in records(count):
            sink(event)
        _wait_empty(sink)


def through_sinks(folder: Path, count: int) -> None:
    spooled = Spooled(Spool(folder / "spool.db"), Peer())
    with ExitStack() as stack:
        fan = stack.enter_context(Sinks([JsonLines(folder / "events.jsonl"), spooled]))
        for number, event in enumerate(records(count)):
            # Nobody has so many events at a time: only here they have to be waited for.
            while number % 100 == 0 and fan.waiting > 800:
                time.sleep(0.001)
            fan(event)
        while fan.waiting:
            time.sleep(0.001)
        _wait_empty(spooled)
    if any(counts.taken != count for counts in fan.counts().values()):
        raise SystemExit(f"records are lost: {fan.counts()}")


def records(count: int) -> Iterator[ActionEvent]:
    """Of events with a start, an update and an end each."""
    for number in range(count):
        of, sequence = divmod(number, 3)
        start_s = 10.0 * of
        yield ActionEvent(
            f"{of:032x}",
            "lift a crate",
            3,
            0.8765,
            start_s,
            start_s + 2 + sequence,
            "camera-1",
            phase=("start", "update", "end")[sequence],
            sequence=sequence,
            decided_s=start_s + 3 + sequence,
            ended_by="over" if sequence == 2 else None,
        )


def _wait_empty(sink: Spooled) -> None:
    while sink.counts().waiting:
        time.sleep(0.001)


def _most_mb() -> float:
    """Resident at most so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
