"""Commands that measure INT8: sensitivity, report."""

from __future__ import annotations

from pathlib import Path

import click

from ppsdk.cli.numbers import FROM_0, SHARE, Integer
from ppsdk.cli.shared import (
    PATH,
    FileSampling,
    json_option,
    print_json,
    progress,
    sampling_option,
)

NOT_SHIPPED = 3  # exit code


@click.command()
@click.argument("fp32_dir", type=PATH)
@click.argument("int8_dir", type=PATH)
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--split", help="Of the manifest; all of it unless given.")
@click.option(
    "--max-drop",
    type=SHARE,
    default=0.01,
    show_default=True,
    help="Limit: so much less top-1 at most, 0.01 for one point.",
)
@click.option(
    "--min-speedup",
    type=FROM_0,
    default=1.0,
    show_default=True,
    help="Limit: so many times as fast at least.",
)
@click.option(
    "--min-agreement",
    type=SHARE,
    default=0.0,
    show_default=True,
    help="Limit: clips with the same answer, as a share.",
)
@click.option(
    "--repeats", type=Integer(min=2), default=30, show_default=True, help="Of each timing."
)
@sampling_option
@json_option
def report(
    fp32_dir: Path,
    int8_dir: Path,
    data: Path,
    out: Path,
    split: str | None,
    max_drop: float,
    min_speedup: float,
    min_agreement: float,
    repeats: int,
    sampling: FileSampling,
    as_json: bool,
) -> int:
    """Compare INT8 with FP32 on the labelled clips of DATA (a manifest.csv), on this machine.

    Writes report.html, report.md and report.json to OUT. Exit code: 0 when INT8 keeps to the
    limits, 3 when it does not.
    """
    from converters.report.report import ReportOptions, make_report
    from converters.report.verdict import Limits

    limits = Limits(max_drop, min_speedup, min_agreement)
    options = ReportOptions(split, sampling, limits, repeats)
    done = make_report(fp32_dir, int8_dir, data, out, options, progress=progress)
    if as_json:
        print_json(done.to_dict())
    else:
        click.echo(done.verdict.text)
        click.echo(f"see {out / 'report.html'}")
    return 0 if done.verdict.ship else NOT_SHIPPED


@click.command()
@click.argument("fp32_dir", type=PATH)
@click.argument("int8_dir", type=PATH)
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--split", help="Of a manifest; `train` unless given.")
@click.option(
    "--num-clips", type=Integer(min=1), default=24, show_default=True, help="At most so many."
)
@sampling_option
@json_option
def sensitivity(
    fp32_dir: Path,
    int8_dir: Path,
    data: Path,
    out: Path,
    split: str | None,
    num_clips: int,
    sampling: FileSampling,
    as_json: bool,
) -> None:
    """Rank the layers of INT8_DIR by what their quantization costs, on clips of DATA (a folder of
    videos, a manifest.csv or a recording). Writes sensitivity.json and sensitivity.svg to OUT.
    """
    from converters.calibration import read_calibration
    from converters.sensitivity import as_text, load_pair, sensitivity, write
    from ppsdk.result_files import check_folder

    *_, facts = load_pair(fp32_dir, int8_dir)
    check_folder(out)
    crops = read_calibration(
        data,
        facts,
        split=split,
        at_most=num_clips,
        sampling=sampling,
        progress=lambda items: progress(items, "clips"),
    )
    done = sensitivity(fp32_dir, int8_dir, crops, progress=lambda items: progress(items, "layers"))
    write(done, out)
    if as_json:
        print_json(done.to_dict())
    else:
        click.echo(as_text(done))
        click.echo(f"see {out / 'sensitivity.svg'}")
