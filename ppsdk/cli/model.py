"""Commands that make a model: convert, quantize."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ppsdk.cli.numbers import SECONDS, SHARE, Integer
from ppsdk.cli.shared import (
    PATH,
    FileSampling,
    json_option,
    need,
    print_json,
    progress,
    sampling_option,
)

if TYPE_CHECKING:
    from converters.convert import Conversion
    from converters.quantize import Quantization


@click.command()
@click.argument("checkpoint", type=PATH)
@click.argument("out", type=PATH)
@click.option("--labels", type=PATH, help="Label file: one name a line, `id name`, or JSON.")
@click.option("--num-segments", type=Integer(2, 64), help="Frames a clip; 16 unless given.")
@click.option("--length-s", type=SECONDS, help="Default window, seconds.")
@click.option("--stride-s", type=SECONDS, help="Default time between windows, seconds.")
@click.option("--force", is_flag=True, help="Replace the model in OUT.")
@click.option("--int8", "calibration", type=PATH, help="Quantize too, with these clips.")
def convert(
    checkpoint: Path,
    out: Path,
    labels: Path | None,
    num_segments: int | None,
    length_s: float | None,
    stride_s: float | None,
    force: bool,
    calibration: Path | None,
) -> None:
    """Turn a trained CHECKPOINT (.pdparams, .safetensors) into the model folder OUT: FP32, or with
    --int8 CALIBRATION quantized as `ppsdk quantize` does it.
    """
    from converters.convert import ConvertOptions, convert, refuse_existing

    options = ConvertOptions(labels, num_segments, length_s, stride_s, force)
    if calibration is None:
        _show_conversion(convert(checkpoint, out, options))
        return
    _need_nncf()
    from converters.quantize import ClipFiles, QuantizeOptions, quantize_with_files

    refuse_existing(out, force=force)
    with tempfile.TemporaryDirectory() as folder:
        conversion = convert(checkpoint, Path(folder, "fp32"), options)
        _show_conversion(conversion, saved=False)
        done = quantize_with_files(
            conversion.folder,
            ClipFiles(calibration),
            out,
            QuantizeOptions(force=force),
            progress=progress,
        )
    _show_quantization(done)


def _show_conversion(done: Conversion, *, saved: bool = True) -> None:
    from converters.convert import TOLERANCE

    facts = done.facts
    click.echo(f"weights    {done.num_weights} arrays, all accounted for")
    click.echo(f"classes    {len(facts.labels)}")
    click.echo(f"segments   {facts.num_segments} ({done.segments_from})")
    click.echo(f"window     {facts.length_s:g} s, every {facts.stride_s:g} s")
    click.echo(f"verified   max_abs_diff {done.max_abs_diff:.2e} on logits (bound {TOLERANCE:.0e})")
    if saved:
        click.echo(f"saved      {done.folder}")


@click.command()
@click.argument("model_dir", type=PATH)
@click.argument("calibration", type=PATH)
@click.argument("out", type=PATH)
@click.option("--split", help="Of a manifest to calibrate with; `train` unless given.")
@click.option(
    "--num-clips",
    type=Integer(min=1),
    default=300,
    show_default=True,
    help="At most so many to calibrate with.",
)
@click.option("--held-out", type=PATH, help="Manifest that the target has to be met on.")
@click.option("--held-out-split", help="Its split; `val` or `test` unless given.")
@click.option("--recipe", default="", help="Only this one; all in turn unless given.")
@click.option(
    "--max-drop",
    type=SHARE,
    default=0.01,
    show_default=True,
    help="Target: so much less top-1 at most, 0.01 for one point.",
)
@click.option(
    "--min-agreement",
    type=SHARE,
    default=0.97,
    show_default=True,
    help="Target: clips with the same answer, as a share.",
)
@click.option(
    "--max-score-diff",
    type=SHARE,
    default=0.03,
    show_default=True,
    help="Target: how far scores move, on average over the clips.",
)
@click.option(
    "--max-score-p95",
    type=SHARE,
    default=0.10,
    show_default=True,
    help="Target: how far they move in 95 % of the clips.",
)
@sampling_option
@click.option("--force", is_flag=True, help="Replace the model in OUT; do with few clips.")
@json_option
def quantize(
    model_dir: Path,
    calibration: Path,
    out: Path,
    split: str | None,
    num_clips: int,
    held_out: Path | None,
    held_out_split: str | None,
    recipe: str,
    max_drop: float,
    min_agreement: float,
    max_score_diff: float,
    max_score_p95: float,
    sampling: FileSampling,
    force: bool,
    as_json: bool,
) -> None:
    """Turn the FP32 model in MODEL_DIR into the INT8 model OUT.

    CALIBRATION is a folder of videos, a manifest.csv, or a recording. Recipes are tried in turn
    until one meets the target on the held-out clips: those of --held-out, or the held-out split of
    CALIBRATION, or the clips of the calibration. Where none does, nothing is written.
    """
    _need_nncf()
    from converters.agreement import Target
    from converters.quantize import ClipFiles, QuantizeOptions, quantize_with_files

    target = Target(max_drop, min_agreement, max_score_diff, max_score_p95)
    files = ClipFiles(calibration, split, num_clips, held_out, held_out_split, sampling)
    options = QuantizeOptions(target, recipe, force)
    done = quantize_with_files(model_dir, files, out, options, progress=progress)
    if as_json:
        told = [asdict(trial) for trial in done.trials]
        print_json({"recipe": done.facts.recipe, "folder": str(done.folder), "trials": told})
    else:
        _show_quantization(done)


def _show_quantization(done: Quantization) -> None:
    for trial in done.trials:
        seen = trial.seen
        verdict = "; ".join(trial.missed) or "meets the target"
        click.echo(f"recipe     {trial.recipe}: {verdict}")
    click.echo(f"calibrated with {done.facts.calibration_clips} different clips")
    right = (
        "" if seen.fp32_right is None else f", top-1 {seen.fp32_right:.4f} -> {seen.int8_right:.4f}"
    )
    click.echo(f"held out   {seen.clips} clips: agreement {seen.top1:.4f}{right}")
    click.echo(f"score      differs by {seen.score_mean:.4f}, p95 {seen.score_p95:.4f}")
    click.echo(f"saved      {done.folder}")


def _need_nncf() -> None:
    need("nncf", extra="convert")
