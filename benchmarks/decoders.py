"""How long each decoder takes for the 16 frames of a clip: python benchmarks/decoders.py VIDEO...

Contenders take turns; medians in ms, and as a ratio to PyAV within the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from machine import machine_line

from ppsdk import VideoError, sample_clip
from ppsdk.sources import Decoder

DECODERS: tuple[Decoder, ...] = ("pyav", "decord", "opencv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    print(machine_line())
    for video in args.videos:
        times: dict[Decoder, list[float]] = {decoder: [] for decoder in DECODERS}
        for _ in range(args.repeats):
            for decoder in DECODERS:
                times[decoder].append(_elapsed_ms(video, decoder))
        pyav = statistics.median(times["pyav"])
        cells = [
            f"{decoder} {statistics.median(seen):7.1f} ms ({statistics.median(seen) / pyav:4.2f}x)"
            for decoder, seen in times.items()
        ]
        print(f"{video.name:40} {'  '.join(cells)}")


def _elapsed_ms(video: Path, decoder: Decoder) -> float:
    start = time.perf_counter()
    try:
        sample_clip(video, sampling="paddlevideo", decoder=decoder)
    except VideoError:
        return float("nan")
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
