"""What a window of a stream costs when windows share their work, beside one that is computed whole:
python benchmarks/reuse.py MODEL_DIR... [--stride SEGMENTS]

The two take turns on the same windows of seeded pictures; medians in ms of wall-clock and of CPU
time, and their ratios within the run. `again` is a window that was just there: with temporal
attention, the head alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine_line
from numpy.typing import NDArray

from ppsdk.model import Network
from ppsdk.records import Image

Scores = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dirs", nargs="+", type=Path)
    parser.add_argument("--stride", type=int, default=4, help="segments")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    print(machine_line())
    for model_dir in args.model_dirs:
        compare(model_dir, stride=args.stride, repeats=args.repeats, threads=args.threads)


def compare(model_dir: Path, *, stride: int, repeats: int, threads: int | None) -> None:
    network = Network(model_dir, num_threads=threads)
    facts = network.facts
    scorer = network.stream_scorer(stride_segments=stride)
    length = facts.num_segments
    frames = _pictures(4 * length, facts.image_size)
    wall: dict[str, list[float]] = {"whole": [], "shared": [], "again": []}
    cpu: dict[str, list[float]] = {name: [] for name in wall}
    worst = 0.0
    for turn in range(repeats + 2):
        indices = np.arange(turn * stride, turn * stride + length)
        crops = frames[indices % len(frames)]
        told = _timed(wall["whole"], cpu["whole"], lambda: network.logits(crops))
        for name in ("shared", "again"):
            seen = _timed(wall[name], cpu[name], lambda: scorer.logits(crops, indices))
            worst = max(worst, float(np.abs(seen - told).max()))
    attention = "with" if facts.has_lta else "without"
    size = f"{length} segments of {facts.image_size} px, {attention} temporal attention"
    print(f"{model_dir}: {facts.precision}, {size}; stride {stride}")
    for name in wall:
        # The first windows share nothing yet.
        median, cpu_median = (statistics.median(times[name][2:]) for times in (wall, cpu))
        whole, cpu_whole = (statistics.median(times["whole"][2:]) for times in (wall, cpu))
        print(
            f"  {name:8} {median:7.1f} ms ({median / whole:4.0%})"
            f"   CPU {cpu_median:7.1f} ms ({cpu_median / cpu_whole:4.0%})"
        )
    print(f"  logits differ by at most {worst:.1e}")


def _timed(wall: list[float], cpu: list[float], run: Callable[[], Scores]) -> Scores:
    start, cpu_start = time.perf_counter(), time.process_time()
    seen = run()
    wall.append(1000 * (time.perf_counter() - start))
    cpu.append(1000 * (time.process_time() - cpu_start))
    return seen


def _pictures(count: int, size: int) -> Image:
    coarse = np.random.default_rng(0).integers(0, 256, (count, size // 16, size // 16, 3), np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)


if __name__ == "__main__":
    main()
