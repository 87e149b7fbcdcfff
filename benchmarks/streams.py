"""How many cameras one model serves: python benchmarks/streams.py MODEL_DIR VIDEO [--streams 1 4 8]

VIDEO is played over and over, in real time, as so many cameras, which drop what is not taken. One
window a stride is asked for of each. Evenness: windows of the camera with the fewest, to those of
the one with the most. Stretch: how many times as far apart as asked windows came. CPU: of all cores
of the machine, decoding included.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median

from machine import machine_line

from ppsdk import Frame, LiveOptions, Recognizer, Streams, StreamStatistics, StreamWindow
from ppsdk.records import Image
from ppsdk.sources import open_file
from ppsdk.sources.connection import Capture, Connection
from ppsdk.sources.live import LiveSource

WARM_UP_S = 3.0


class Played(Connection):
    """A file, over and over, at its own pace."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def captures(self) -> Iterator[Capture]:
        origin_s, number = time.monotonic(), 0
        while True:
            end_s = 0.0
            for frame in open_file(self._path).frames():
                time.sleep(max(0.0, origin_s + frame.pts_s - time.monotonic()))
                number, end_s = number + 1, frame.pts_s
                yield Capture(partial(_image, frame), "", number, 0)
            origin_s += end_s + 0.04

    def close(self) -> None:
        pass


def _image(frame: Frame) -> Image:
    return frame.image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--length-s", type=float)
    parser.add_argument("--stride-s", type=float)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--still-below", type=float)
    args = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    recognizer = Recognizer(args.model_dir, num_threads=args.threads)
    facts = recognizer.facts
    length_s = args.length_s or facts.length_s
    stride_s = args.stride_s or facts.stride_s * length_s / facts.length_s
    print(machine_line())
    print(
        f"{args.model_dir.name}: {facts.precision}, {facts.num_segments} segments of "
        f"{facts.image_size} px, threads {args.threads or 'all'}; {args.video.name}; "
        f"windows of {length_s:g} s every {stride_s:g} s"
    )
    for count in args.streams:
        measure(recognizer, args, count, length_s, stride_s)


def measure(
    recognizer: Recognizer, args: argparse.Namespace, count: int, length_s: float, stride_s: float
) -> None:
    options = LiveOptions()
    sources = [
        LiveSource(f"camera {i}", lambda: Played(args.video), options=options) for i in range(count)
    ]
    with recognizer.streams(
        sources, length_s=length_s, stride_s=stride_s, still_below=args.still_below
    ) as streams:
        for _ in until(streams, length_s + WARM_UP_S):
            pass
        before = streams.statistics()
        start_s, cpu_s = time.monotonic(), time.process_time()
        for _ in until(streams, args.seconds):
            pass
        wall_s, cpu_s = time.monotonic() - start_s, time.process_time() - cpu_s
        after = streams.statistics()
    show(before, after, wall_s, cpu_s, stride_s)


def until(streams: Streams, seconds: float) -> Iterator[StreamWindow]:
    end_s = time.monotonic() + seconds
    for window in streams:
        yield window
        if time.monotonic() > end_s:
            return


def show(
    before: dict[str, StreamStatistics],
    after: dict[str, StreamStatistics],
    wall_s: float,
    cpu_s: float,
    stride_s: float,
) -> None:
    counts = [after[name].windows - before[name].windows for name in after]
    still = sum(after[name].still - before[name].still for name in after)
    asked = len(counts) * wall_s / stride_s
    fares = list(after.values())
    print(
        f"{len(counts):2} cameras of {median(fare.frames_per_s for fare in fares):.1f} frames/s: "
        f"{sum(counts) / wall_s:5.1f} windows/s, {sum(counts) / asked:4.0%} of those asked for, "
        f"still {still / asked:4.0%}; evenness {min(counts) / max(1, *counts):4.2f}, "
        f"stretch {asked / max(1, sum(counts) + still):4.2f}; latency "
        f"p50 {median(fare.latency_p50_ms for fare in fares):.0f} ms, "
        f"p95 {max(fare.latency_p95_ms for fare in fares):.0f} ms, "
        f"lag {max(fare.lag_s for fare in fares):.2f} s; "
        f"CPU {cpu_s / wall_s / (os.cpu_count() or 1):4.0%}, {resident_mb():.0f} MB"
    )


def resident_mb() -> float:
    """Resident memory of this process; needs Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    main()
