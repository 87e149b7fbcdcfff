"""Commands that show: demo, selftest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ppsdk.cli.numbers import Integer, Number
from ppsdk.cli.shared import PATH, json_option, print_json, progress

if TYPE_CHECKING:
    from ppsdk.intervals import LabelledSpan
    from ppsdk.recognizer import Recognizer
    from ppsdk.records import ActionEvent


@click.command()
@click.option("--seed", type=Integer(min=0), default=0, help="Another scene for each.")
@click.option(
    "--minutes", type=Number(0.1, 60), default=1.0, show_default=True, help="Length of the scene."
)
@click.option(
    "--out",
    type=PATH,
    default="ppsdk-demo",
    show_default=True,
    help="Folder; what is there from before is replaced.",
)
@click.option("--camera", "source", help="A camera's number or URL, in place of the scene.")
@click.option(
    "--model", "model_dir", type=PATH, help="In place of the bundled one, of its classes."
)
@json_option
def demo(
    seed: int,
    minutes: float,
    out: Path,
    source: str | None,
    model_dir: Path | None,
    as_json: bool,
) -> None:
    """Render a work cell that the bundled model has never seen, and recognise what happens in it.

    Prints events as they end, beside the truth, and writes scene.mp4, annotated.mp4, timeline.png,
    events.jsonl and truth.csv to --out. With --camera the same model watches a camera.
    """
    from ppsdk.demo.run import BUNDLED
    from ppsdk.recognizer import Recognizer

    if source is not None:
        _refuse_of_scenes()
    with Recognizer(model_dir or BUNDLED) as recognizer:
        if source is None:
            _demo_scene(recognizer, seed, 60 * minutes, out, as_json)
        else:
            _demo_camera(recognizer, source, as_json)


def _demo_scene(
    recognizer: Recognizer, seed: int, length_s: float, out: Path, as_json: bool
) -> None:
    from ppsdk.demo.run import run_demo

    started = time.perf_counter()

    def show(event: ActionEvent, nearest: LabelledSpan | None) -> None:
        truth = "nothing" if nearest is None else _span_text(nearest)
        click.echo(f"{_span_text(event)}  {event.score:4.2f}   truth: {truth}")

    result = run_demo(
        recognizer, out, seed=seed, length_s=length_s, on_event=show, progress=progress
    )
    told = result.to_dict() | {"seconds": round(time.perf_counter() - started, 1)}
    if as_json:
        print_json(told)
        return
    click.echo(
        f"{told['matched']} of {told['truth']} actions found with {told['events']} events: F1 "
        f"{result.event_f1:.2f}; {result.windows_right} of {result.windows} clear windows right"
    )
    click.echo(f"look at {out / 'timeline.png'} and {out / 'annotated.mp4'}")
    click.echo(f"next: ppsdk run {out / 'scene.mp4'} --model {recognizer.model_dir}")


def _refuse_of_scenes() -> None:
    """An option of a scene does nothing for a camera, which nobody means."""
    context = click.get_current_context()
    for name in ("seed", "minutes", "out"):
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name} is for a rendered scene: not with --camera")


def _demo_camera(recognizer: Recognizer, source: str, as_json: bool) -> None:
    from ppsdk.demo.run import OPTIONS
    from ppsdk.sources import open_source

    OPTIONS.check_labels(recognizer.labels)
    with open_source(source) as opened:
        for event in recognizer.events(opened, options=OPTIONS):
            if event.phase != "end":
                continue
            if as_json:
                print_json(event.to_dict())
            else:
                click.echo(f"{_span_text(event)}  {event.score:4.2f}")


def _span_text(span: ActionEvent | LabelledSpan) -> str:
    return f"{span.start_s:7.2f} s - {span.end_s:7.2f} s  {span.label:8}"


@click.command()
@click.option("--out", type=PATH, help="Keep the converted model there; nowhere unless given.")
@click.option("--force", is_flag=True, help="Replace the model in --out.")
@json_option
def selftest(out: Path | None, force: bool, as_json: bool) -> int:
    """Convert a seeded checkpoint, run it on a clip that ppsdk carries, and compare with what the
    reference gave: that this machine decodes, converts and computes right.
    """
    import tempfile

    from converters.convert import ConvertOptions, convert
    from converters.seeded import seeded_weights, write_pdparams
    from ppsdk.selftest import LABELS, SEED, as_text, run_selftest

    with tempfile.TemporaryDirectory() as folder:
        checkpoint, labels = Path(folder, "seeded.pdparams"), Path(folder, "labels.txt")
        write_pdparams(checkpoint, seeded_weights(SEED), prefix="backbone.")
        labels.write_text("\n".join(LABELS), "utf-8")
        conversion = convert(
            checkpoint, out or Path(folder, "model"), ConvertOptions(labels, force=force)
        )
        result = run_selftest(conversion.folder, conversion.max_abs_diff)
    if as_json:
        print_json(result.to_dict())
    else:
        click.echo(as_text(result))
        if out is not None:
            click.echo(f"the converted model is in {out}")
    return 0 if result.right else 1
