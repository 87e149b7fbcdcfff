"""Five streams with faults, for as long as you like: python benchmarks/soak.py --minutes 30

Two cameras that stall, hang up, send garbage and change their size; an app whose clock jumps back
and forth; and a recording, played in real time again and again, whose clock starts again in the
middle and whose size changes there: these four through `Recognizer.streams`. A third such camera
through `Recognizer.events`, alone. Each fault is printed beside the status record that told of it.
Exit code 1 where one went unseen, where a stream broke or stood still, where an event did not have
one start and one end, or where memory grew by 20 MB or more after the first minute (in a shorter
run, after its first half).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from machine import machine_line
from soak_sources import AppFrames, Camera, joined_recording

from ppsdk import ActionEvent, LiveOptions, Recognizer, StreamOptions, StreamStatus, open_source
from ppsdk.demo.run import BUNDLED

# What each fault may be told as. Garbage may cost a connection.
TOLD_AS = {
    "stall": ("lost",),
    "close": ("lost",),
    "garbage": ("damaged", "lost"),
    "resize": ("changed",),
    "clock back": ("jump",),
    "clock forward": ("gap",),
}
OF_CAMERAS = ("stall", "close", "garbage", "resize")
OF_APPS = ("clock back", "clock forward")
IN_THE_RECORDING = ("clock back", "resize")
LIVE = LiveOptions(open_timeout_s=2.0, read_timeout_s=2.0)
LENGTH_S, STRIDE_S = 1.6, 0.4
BETWEEN_FAULTS_S = (4.0, 12.0)
SEEN_WITHIN_S = 20.0
WINDOW_WITHIN_S = 40.0
MOST_GROWTH_MB = 20.0


@dataclass
class Fault:
    stream: str
    kind: str
    at_s: float
    seen: StreamStatus | None = None
    seen_at_s: float = 0.0


@dataclass
class Watched:
    """One stream: its faults and statuses, and whether it is alive; times are monotonic.

    inject: makes a fault of a kind. progress: a number that changes as windows are cut.
    """

    name: str
    kinds: tuple[str, ...] = ()
    inject: Callable[[str], None] = lambda kind: None
    progress: Callable[[], int] = lambda: 0
    statuses: list[tuple[float, StreamStatus]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: int = 0
    moved_s: float = field(default_factory=time.monotonic)
    next_fault_s: float = 0.0

    def note(self, status: StreamStatus) -> None:
        self.statuses.append((time.monotonic(), status))

    def make_fault(self, kind: str) -> None:
        self.faults.append(Fault(self.name, kind, time.monotonic()))
        self.inject(kind)

    def look(self) -> None:
        """Whether windows come; and which status tells of each fault: the first of a fitting kind
        that no other one has.
        """
        before, self.seen = self.seen, self.progress()
        if self.seen != before:
            self.moved_s = time.monotonic()
        taken = {id(fault.seen) for fault in self.faults}
        for fault in [fault for fault in self.faults if fault.seen is None]:
            for at_s, status in list(self.statuses):
                in_time = fault.at_s <= at_s <= fault.at_s + SEEN_WITHIN_S
                fits = in_time and status.kind in TOLD_AS[fault.kind]
                if fits and id(status) not in taken:
                    fault.seen, fault.seen_at_s = status, at_s
                    taken.add(id(status))
                    break

    @property
    def is_lost(self) -> bool:
        """It has yet to come back, or to tell of a fault."""
        kinds = [status.kind for _, status in self.statuses if status.kind in ("lost", "restored")]
        since_s = time.monotonic() - SEEN_WITHIN_S
        waiting = any(one.seen is None and one.at_s > since_s for one in self.faults[-1:])
        return kinds[-1:] == ["lost"] or waiting


class EventBook:
    """Takes events in a thread of its own: each must have one start, and then one end."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.count = 0
        self.problems: list[str] = []
        self._threads: list[threading.Thread] = []

    def take(self, what: str, events: Iterable[ActionEvent]) -> None:
        def take_all() -> None:
            try:
                for event in events:
                    self.note(event)
            except BaseException as error:
                self.problems.append(f"{what}: broke: {error!r}")

        self._threads.append(threading.Thread(target=take_all, daemon=True))
        self._threads[-1].start()

    def note(self, event: ActionEvent) -> None:
        if event.phase == "start" and event.sequence == 0:
            self.open.add(event.id)
            self.count += 1
        elif event.id not in self.open:
            self.problems.append(f"{event.source}: {event.phase} of an event that is not open")
        elif event.phase == "end":
            self.open.remove(event.id)

    def finish(self) -> None:
        """To be called when all streams are closed."""
        for thread in self._threads:
            thread.join(10)
        if self.open or any(thread.is_alive() for thread in self._threads):
            self.problems.append(f"{len(self.open)} events have no end")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--often", type=float, default=1.0, help="faults so many times as often")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    args = parser.parse_args()
    print(f"{machine_line()}, seed {args.seed}, {args.minutes:g} minutes")
    rng = random.Random(args.seed)
    book = EventBook()
    with ExitStack() as stack:
        recognizer = stack.enter_context(Recognizer(args.model, num_threads=1))
        watched, look = start(recognizer, book, stack)
        memory_mb = inject_faults(watched, look, rng, args.minutes * 60, args.often)
        for one in watched:
            one.look()
        now_s = time.monotonic()
    book.finish()
    problems = report(watched, memory_mb, now_s) + book.problems
    print(f"{book.count} events, each with one start and one end: {not book.problems}")
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


def start(
    recognizer: Recognizer, book: EventBook, stack: ExitStack
) -> tuple[list[Watched], Callable[[], None]]:
    """The streams; and what is to be called every second, to play the recording again."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    recording = StreamOptions(joined_recording(folder), name="recording", realtime=True)
    cameras = [stack.enter_context(Camera("live", fps=fps)) for fps in (25.0, 12.0, 25.0)]
    app = AppFrames()
    stack.callback(app.over.set)
    watched = {name: Watched(name) for name in ("camera 1", "camera 2", "app", "recording")}
    sources = [StreamOptions(one.url, name=f"camera {i}") for i, one in enumerate(cameras[:2], 1)]
    sources += [StreamOptions(app.frames(), name="app"), recording]

    def note(status: StreamStatus) -> None:
        if status.source in watched:
            watched[status.source].note(status)
        else:
            print(f"{status.source}: {status.kind}: {status.reason}")

    streams = stack.enter_context(
        recognizer.streams(sources, length_s=LENGTH_S, stride_s=STRIDE_S, live=LIVE, on_status=note)
    )

    def windows_of(name: str) -> int:
        return streams.statistics()[name].windows

    for name, one in watched.items():
        one.progress = partial(windows_of, name)
    for name, camera in zip(("camera 1", "camera 2"), cameras, strict=False):
        watched[name].kinds, watched[name].inject = OF_CAMERAS, camera.inject
    watched["app"].kinds, watched["app"].inject = OF_APPS, app.inject
    book.take("streams", streams.events())

    alone = Watched("alone", OF_CAMERAS, cameras[2].inject)
    source = open_source(cameras[2].url, live=LIVE, on_status=alone.note)
    alone.progress = lambda: source.counters.kept
    events = recognizer.events(source, length_s=LENGTH_S, stride_s=STRIDE_S)
    book.take("alone", stack.enter_context(events))
    played = watched["recording"]
    started_s = time.monotonic()

    def play_again() -> None:
        nonlocal started_s
        if streams.statistics()["recording"].state != "running" and played.seen:
            # They lie in the file, so that they are known to have been there once it is read.
            played.faults += [Fault("recording", kind, started_s) for kind in IN_THE_RECORDING]
            started_s = time.monotonic()
            streams.add(recording)

    return [*watched.values(), alone], play_again


def inject_faults(
    watched: list[Watched],
    look: Callable[[], None],
    rng: random.Random,
    length_s: float,
    often: float,
) -> list[float]:
    """Until the time is over; returns the memory used, MB, second by second."""
    start_s = time.monotonic()
    memory_mb: list[float] = []
    while (now_s := time.monotonic()) - start_s < length_s:
        if now_s - start_s >= len(memory_mb):
            memory_mb.append(resident_mb())
        for one in watched:
            one.look()
            due = now_s >= one.next_fault_s and not one.is_lost
            left_s = length_s - (now_s - start_s)
            if one.kinds and due and one.seen and left_s > SEEN_WITHIN_S / 2:
                if one.next_fault_s:
                    one.make_fault(rng.choice(one.kinds))
                one.next_fault_s = now_s + rng.uniform(*BETWEEN_FAULTS_S) / often
        look()
        time.sleep(1.0 / max(1.0, often))
    return memory_mb


def report(watched: list[Watched], memory_mb: list[float], now_s: float) -> list[str]:
    """Print what happened up to now_s; returns what must not."""
    problems: list[str] = []
    for one in watched:
        one.look()
        for fault in one.faults:
            if fault.seen is None:
                print(f"{one.name:10} {fault.kind:14} UNSEEN")
                problems.append(f"{one.name}: {fault.kind} went unseen")
            else:
                after_s = max(0.0, fault.seen_at_s - fault.at_s)
                told = f"{fault.seen.kind}: {fault.seen.reason}"
                print(f"{one.name:10} {fault.kind:14} seen after {after_s:4.1f} s as {told}")
        kinds = [status.kind for _, status in one.statuses]
        if kinds.count("lost") - kinds.count("restored") not in (0, 1):
            problems.append(f"{one.name}: lost and restored are no pairs: {kinds}")
        if "failed" in kinds:
            problems.append(f"{one.name}: broke: {kinds}")
        if now_s - one.moved_s > WINDOW_WITHIN_S:
            problems.append(f"{one.name}: no window for {now_s - one.moved_s:.0f} s")
        print(f"{one.name:10} {len(one.faults)} faults, {len(kinds)} statuses")
    settled = min(60, len(memory_mb) // 2)
    before, after = median(memory_mb[settled : settled + 10]), median(memory_mb[-10:])
    print(f"memory: {before:.1f} MB after {settled} s, {after:.1f} MB at the end")
    if after - before >= MOST_GROWTH_MB:
        problems.append(f"memory grew by {after - before:.1f} MB")
    return problems


def resident_mb() -> float:
    """Resident memory of this process; needs Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    sys.exit(main())
