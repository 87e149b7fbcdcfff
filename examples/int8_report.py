"""What INT8 costs and gives on this machine: python examples/int8_report.py [--out DIR]

Converts the demo's weights, quantizes them with rendered scenes, and compares FP32 with INT8 on
others. With your own model and clips it is three commands: ppsdk convert, quantize, report.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from converters.convert import ConvertOptions, convert
from converters.quantize import ClipFiles, QuantizeOptions, quantize_with_files
from converters.report.report import ReportOptions, make_report
from ppsdk.demo.run import BUNDLED
from training.scenes import film_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("int8-report"))
    parser.add_argument("--scenes", type=int, default=12, help="of 20 s, a third to judge by")
    args = parser.parse_args()
    fp32, int8 = args.out / "fp32", args.out / "int8"

    manifest = film_scenes(
        args.out / "scenes", range(args.scenes), length_s=20.0, held_out=args.scenes // 3
    )
    convert(BUNDLED / "work_cell.safetensors", fp32, ConvertOptions(force=True))
    done = quantize_with_files(fp32, ClipFiles(manifest), int8, QuantizeOptions(force=True))
    print(f"INT8 by recipe {done.facts.recipe!r}")

    report = make_report(fp32, int8, manifest, args.out, ReportOptions(split="test"))
    print(report.verdict.text)
    print(f"look at {args.out / 'report.html'}")


if __name__ == "__main__":
    main()
