"""Four streams with faults, for as long as you like: python benchmarks/soak.py --minutes 30

Two cameras that stall, hang up, send garbage and change their size; an app whose clock jumps back
and forth; and a recording, played in real time again and again, whose clock starts again in the
middle and whose size changes there. Each fault is printed beside the status record that told of it.
Exit code 1 where one went unseen, where a stream broke or stood still, or where memory grew by
20 MB or more after the first minute (in a shorter run, after its first half).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import av
from machine import machine_line

from ppsdk import Frame, LiveOptions, Recognizer, StreamStatus, open_source
from ppsdk.demo.run import BUNDLED
from ppsdk.sources import Source

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from barcode import make_frame  # noqa: E402
from stallserver import Camera  # noqa: E402

# What each fault may be told as. Garbage may cost a connection.
TOLD_AS = {
    "stall": ("lost",),
    "close": ("lost",),
    "garbage": ("damaged", "lost"),
    "resize": ("changed",),
    "clock back": ("jump",),
    "clock forward": ("gap",),
}
LIVE = LiveOptions(open_timeout_s=2.0, read_timeout_s=2.0)
SEEN_WITHIN_S = 20.0
WINDOW_WITHIN_S = 40.0
MOST_GROWTH_MB = 20.0
APP_FPS = 10.0


@dataclass
class Fault:
    stream: str
    kind: str
    at_s: float
    seen: StreamStatus | None = None
    seen_at_s: float = 0.0


@dataclass
class Watched:
    """One stream: its faults and statuses, and whether it is alive; times are monotonic."""

    name: str
    kinds: tuple[str, ...]
    inject: Callable[[str], None]
    statuses: list[tuple[float, StreamStatus]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    windows: int = 0
    window_at_s: float = field(default_factory=time.monotonic)
    next_fault_s: float = 0.0
    error: BaseException | None = None

    def note(self, status: StreamStatus) -> None:
        self.statuses.append((time.monotonic(), status))

    def make_fault(self, kind: str) -> None:
        self.faults.append(Fault(self.name, kind, time.monotonic()))
        self.inject(kind)

    def match(self) -> None:
        """Find the status of each fault: the first of a fitting kind that no other one has."""
        taken = {id(fault.seen) for fault in self.faults}
        for fault in self.faults:
            if fault.seen is not None:
                continue
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    args = parser.parse_args()
    print(f"{machine_line()}, seed {args.seed}, {args.minutes:g} minutes")
    over = threading.Event()
    rng = random.Random(args.seed)
    with ExitStack() as stack:
        recognizer = stack.enter_context(Recognizer(args.model, num_threads=1))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        watched = start_streams(recognizer, folder, over, stack)
        memory_mb = inject_faults(watched, rng, args.minutes * 60)
    problems = report(watched, memory_mb)
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


def start_streams(
    recognizer: Recognizer, folder: Path, over: threading.Event, stack: ExitStack
) -> list[Watched]:
    watched: list[Watched] = []

    def start(one: Watched, sources: Iterator[Source]) -> None:
        thread = threading.Thread(target=watch, args=(recognizer, one, sources), daemon=True)
        stack.callback(thread.join, 10)
        thread.start()
        watched.append(one)

    for number, fps in enumerate((25.0, 12.0), 1):
        camera = stack.enter_context(Camera("live", fps=fps))
        kinds = ("stall", "close", "garbage", "resize")
        one = Watched(f"camera {number}", kinds, camera.inject)
        source = open_source(camera.url, live=LIVE, on_status=one.note)
        start(one, iter([source]))
        stack.callback(source.close)
    app = AppFrames(over)
    one = Watched("app", ("clock back", "clock forward"), app.inject)
    start(one, iter([open_source(app.frames(), on_status=one.note)]))
    one = Watched("recording", (), lambda kind: None)
    start(one, recordings(folder, over, one))
    stack.callback(over.set)
    return watched


def watch(recognizer: Recognizer, one: Watched, sources: Iterator[Source]) -> None:
    try:
        for source in sources:
            for _ in recognizer.windows(source, length_s=1.6, stride_s=0.4):
                one.windows += 1
                one.window_at_s = time.monotonic()
    except BaseException as error:
        one.error = error


class AppFrames:
    """What an app hands over, stamped by a clock that somebody sets."""

    def __init__(self, over: threading.Event) -> None:
        self._over = over
        self._offset_s = 1000.0

    def inject(self, kind: str) -> None:
        self._offset_s += 90.0 if kind == "clock forward" else -300.0

    def frames(self) -> Iterator[Frame]:
        index, start_s = 0, time.monotonic()
        self._offset_s += 1e6
        while not self._over.wait(1 / APP_FPS):
            now_s = time.monotonic() - start_s
            yield Frame(make_frame(index % 1024, 160, 120), now_s + self._offset_s)
            index += 1


def recordings(folder: Path, over: threading.Event, played: Watched) -> Iterator[Source]:
    """The same file again and again: 3 s, then 3 s of another size from the same start."""
    file = folder / "joined.ts"
    parts = [_write_part(folder / "part.ts", size) for size in ((160, 120), (320, 240))]
    file.write_bytes(b"".join(parts))
    while not over.is_set():
        opened_s = time.monotonic()
        yield open_source(file, realtime=True, on_status=played.note)
        # They lie in the file, so that they are known to have been there once it is read.
        played.faults += [Fault("recording", kind, opened_s) for kind in ("clock back", "resize")]


def _write_part(path: Path, size: tuple[int, int]) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(75):
            image = make_frame(index, *size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def inject_faults(watched: list[Watched], rng: random.Random, length_s: float) -> list[float]:
    """Until the time is over; returns the memory used, MB, second by second."""
    start_s = time.monotonic()
    memory_mb: list[float] = []
    while (now_s := time.monotonic()) - start_s < length_s:
        memory_mb.append(resident_mb())
        for one in watched:
            one.match()
            due = now_s >= one.next_fault_s and not one.is_lost
            left_s = length_s - (now_s - start_s)
            if one.kinds and due and one.windows and left_s > SEEN_WITHIN_S / 2:
                if one.next_fault_s:
                    one.make_fault(rng.choice(one.kinds))
                one.next_fault_s = now_s + rng.uniform(4, 12)
        time.sleep(1.0)
    return memory_mb


def report(watched: list[Watched], memory_mb: list[float]) -> list[str]:
    """Print what happened; returns what must not."""
    problems: list[str] = []
    now_s = time.monotonic()
    for one in watched:
        one.match()
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
        if one.error is not None:
            problems.append(f"{one.name}: broke: {one.error!r}")
        elif now_s - one.window_at_s > WINDOW_WITHIN_S:
            problems.append(f"{one.name}: no window for {now_s - one.window_at_s:.0f} s")
        print(
            f"{one.name:10} {one.windows} windows, {len(one.faults)} faults, {len(kinds)} statuses"
        )
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
