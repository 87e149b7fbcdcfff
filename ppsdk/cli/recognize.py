"""Commands that run a model: classify, run, evaluate, inspect."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ppsdk.cli.event_options import chosen_options, event_options
from ppsdk.cli.metrics import metrics_option, open_metrics
from ppsdk.cli.numbers import SECONDS, Integer
from ppsdk.cli.printed import Printed
from ppsdk.cli.shared import (
    PATH,
    FileSampling,
    json_option,
    model_option,
    open_recognizer,
    precision_option,
    print_json,
    progress,
    sampling_option,
    several_options,
    source_options,
    stream_options,
    threads_option,
)
from ppsdk.cli.sink_options import (
    open_sinks,
    sink_options,
    tap_of,
    tell_sinks,
    told_at_ctrl_c,
)
from ppsdk.cli.site import refuse_others, run_site, site_options
from ppsdk.cli.stderr import fail, say, tell
from ppsdk.cli.termination import closed_at_sigterm
from ppsdk.errors import VideoError

if TYPE_CHECKING:
    from ppsdk.evaluation import Evaluation
    from ppsdk.manifest import LabelledClip
    from ppsdk.recognizer import Recognizer
    from ppsdk.records import WindowScores


@click.command()
@click.argument("videos", nargs=-1, required=True)
@model_option
@click.option(
    "--top", default=5, show_default=True, type=Integer(min=1), help="So many of the best classes."
)
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
    with open_recognizer(model_dir, threads, precision) as recognizer:
        for video in videos:
            try:
                scores = recognizer.classify(video, sampling=sampling)
            except VideoError as error:
                fail(str(error), 1)
                failed = 1
                continue
            _show_scores(video, scores, top, as_json)
    return failed


@click.command()
@click.argument("sources", nargs=-1)
@click.option("--model", "model_dir", type=PATH, help="Folder written by `ppsdk convert`.")
@site_options
@click.option("--length-s", type=SECONDS, help="Window, seconds; the model's own unless given.")
@click.option("--stride-s", type=SECONDS, help="From window to window; overlap as the model's.")
@event_options
@click.option(
    "--show-options",
    is_flag=True,
    help="Print the event options in use, those not given too, and go.",
)
@sink_options
@metrics_option
@source_options
@several_options
@threads_option
@precision_option
def run(
    sources: tuple[str, ...],
    model_dir: Path | None,
    config: Path | None,
    check: bool,
    state: Path | None,
    length_s: float | None,
    stride_s: float | None,
    show_options: bool,
    realtime: bool,
    wait: bool,
    timeout_s: float,
    fps: float | None,
    rois: tuple[tuple[str, float, float, float, float], ...],
    still_below: float | None,
    statistics: bool,
    threads: int | None,
    precision: Literal["f32", "bf16", "f16"],
) -> int:
    """Print the events of SOURCES (files, camera indices, URLs, folders of pictures) as JSON lines:
    as they start, go on, and end. A camera that is lost is opened again; stderr says so. Several
    take turns; one that fails does not stop the others. SIGTERM ends what goes on, and exits 0,
    unless records were lost.
    With --config, a file says all of it, and SIGHUP reads it again.
    """
    if config is not None:
        refuse_others(click.get_current_context())
        return run_site(config, check=check, state=state)
    if model_dir is None or not (sources or show_options) or check or state is not None:
        raise click.UsageError(
            "must be SOURCES and --model, or --config and maybe --check, --state"
        )
    from ppsdk.sinks.clips import look_back_s
    from ppsdk.sources import LiveOptions, open_source

    wanted = stream_options(sources, rois, fps=fps, realtime=realtime)
    live = LiveOptions(open_timeout_s=timeout_s, read_timeout_s=timeout_s, wait=wait)
    with ExitStack() as stack:
        recognizer = stack.enter_context(open_recognizer(model_dir, threads, precision))
        step_s = recognizer.facts.grid(length_s, stride_s).stride_s
        options = chosen_options(recognizer.labels, stride_s=step_s)
        if show_options:
            print_json(options.to_dict())
            return 0
        late_s = look_back_s(length_s or recognizer.facts.length_s, step_s, options)
        sinks = stack.enter_context(
            told_at_ctrl_c(open_sinks(late_s), lambda them: them, statistics=statistics)
        )
        if len(sources) == 1:
            # Nobody waits for another one: what cannot be opened is an error at once.
            opened = open_source(sources[0], fps=fps, realtime=realtime, live=live)
            wanted = [replace(wanted[0], source=stack.enter_context(opened))]
        streams = stack.enter_context(
            recognizer.streams(
                wanted,
                length_s=length_s,
                stride_s=stride_s,
                still_below=still_below,
                live=live,
                tap=tap_of(sinks),
            )
        )
        metrics = stack.enter_context(open_metrics(streams, sinks, recognizer.labels))
        stopped = stack.enter_context(closed_at_sigterm(streams.close))
        told = False
        printed = Printed(sinks, sources, realtime=realtime)
        try:
            for event in streams.events(options=options):
                told = True
                sinks(event)
                metrics(event)
                printed(event)
        finally:
            fares = streams.statistics()
            if statistics:
                for fare in fares.values():
                    tell("stream", fare.to_dict())
    windows = sum(fare.windows for fare in fares.values())
    if windows and not told:
        say(f"no event in {windows} windows: --per-window prints each, --show-options what decides")
    has_lost = tell_sinks(sinks, statistics=statistics) or printed.has_failed
    has_failed = any(fare.error for fare in fares.values()) and not stopped.is_set()
    return 1 if has_lost or has_failed else 0


@click.command()
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
    """Accuracy on the labelled clips of MANIFEST (CSV: path,label and optionally group, split, roi,
    and start_s,end_s: of an interval, the window of the model's length in its middle).
    """
    from ppsdk.evaluation import as_text
    from ppsdk.manifest import read_manifest

    with open_recognizer(model_dir, threads, precision) as recognizer:
        clips = read_manifest(manifest, split=split, labels=recognizer.labels)
        result, failed = _evaluate(recognizer, clips, sampling)
    if result is None:
        raise VideoError(f"{manifest}: none of its {len(clips)} clips can be read")
    if as_json:
        print_json({**result.to_dict(), "sampling": sampling, "split": split, "errors": failed})
    else:
        click.echo(as_text(result))
    return 1 if failed else 0


@click.command()
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
        print_json(told)
        return
    labels = told.pop("labels")
    told["labels"] = f"{len(labels)}: {', '.join(labels[:10])}{', ...' if len(labels) > 10 else ''}"
    width = max(map(len, told))
    for name, value in told.items():
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
        click.echo(f"{name:{width}} {text}".rstrip())


def _evaluate(
    recognizer: Recognizer, clips: list[LabelledClip], sampling: FileSampling
) -> tuple[Evaluation | None, list[str]]:
    from ppsdk.evaluation import Evaluation
    from ppsdk.manifest import by_recording

    answers: dict[int, WindowScores | VideoError] = {}
    for together in progress(by_recording(clips), "clips"):
        spans_s = [clips[i].window_s(recognizer.facts.length_s) for i in together]
        path, roi = clips[together[0]].path, clips[together[0]].roi
        try:
            of_file = recognizer.classify_spans(
                path, spans_s, sampling=sampling, roi=roi, move_inside=True
            )
        except VideoError as error:
            of_file = [error] * len(together)
        answers.update(zip(together, of_file, strict=True))
    scored: list[tuple[LabelledClip, WindowScores]] = []
    errors: list[str] = []
    for i, clip in enumerate(clips):
        answer = answers[i]
        if isinstance(answer, VideoError):
            errors.append(str(answer))
        else:
            scored.append((clip, answer))
    for message in dict.fromkeys(errors):
        fail(message, 1)
    if not scored:
        return None, errors
    good, scores = zip(*scored, strict=True)
    return Evaluation(recognizer.labels, good, scores), errors


def _show_scores(video: str, scores: WindowScores, top: int, as_json: bool) -> None:
    best = scores.top(top)
    if as_json:
        print_json(
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
