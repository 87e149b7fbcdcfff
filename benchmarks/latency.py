"""Where a window's time goes: python benchmarks/latency.py MODEL_DIR VIDEO [--int8 DIR]

Decoding, preprocessing, and the network in f32, in bf16 where the CPU has it, on one thread, and of
the INT8 model, in turns; medians and 95th percentiles in ms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from machine import machine_line

from converters.report.speed import in_turns
from ppsdk import Recognizer, sample_clip
from ppsdk.preprocess import crop_for_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--int8", type=Path, help="the same model, quantized")
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    f32 = Recognizer(args.model_dir)
    bf16 = Recognizer(args.model_dir, precision="bf16")
    single = Recognizer(args.model_dir, num_threads=1)
    clip = sample_clip(args.video, num_segments=f32.num_segments, sampling="paddlevideo")
    sizes = {"image_size": f32.facts.image_size, "short_side": f32.facts.short_side}
    crops = np.stack([crop_for_model(image, **sizes) for image in clip.images])
    contenders: dict[str, Callable[[], object]] = {
        "decode": lambda: sample_clip(args.video, num_segments=f32.num_segments),
        "preprocess": lambda: [crop_for_model(image, **sizes) for image in clip.images],
        "network f32": lambda: f32.logits(crops),
        f"network bf16 (runs {bf16.precision_executed})": lambda: bf16.logits(crops),
        "network f32, 1 thread": lambda: single.logits(crops),
    }
    if args.int8 is not None:
        int8 = Recognizer(args.int8)
        contenders["network INT8"] = lambda: int8.logits(crops)
    seen = in_turns(contenders, args.repeats)
    print(machine_line())
    print(f"{args.video.name}: {clip.images.shape[2]}x{clip.images.shape[1]}, {clip.end_s:.1f} s")
    for name, latency in seen.items():
        print(f"{name:30} median {latency.median:6.1f} ms   p95 {latency.p95:6.1f} ms")


if __name__ == "__main__":
    main()
