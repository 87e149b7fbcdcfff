"""Commands that measure events: evaluate-events, tune."""

from __future__ import annotations

from pathlib import Path

import click

from ppsdk.cli.numbers import FROM_0, SECONDS, Integer
from ppsdk.cli.shared import (
    PATH,
    json_option,
    model_option,
    open_recognizer,
    print_json,
    progress,
    threads_option,
)


@click.command("evaluate-events")
@click.argument("truth", type=PATH)
@click.argument("events", type=PATH)
@click.option(
    "--collar-s",
    type=SECONDS,
    default=0.5,
    show_default=True,
    help="How far start and end may be off, for F1 by collar.",
)
@click.option("--length-s", type=SECONDS, help="Of a recording; to its last event unless given.")
@click.option("--picture", type=PATH, help="PNG; EVENTS with .png unless given.")
@click.option("--background", multiple=True, help="Label of the truth that is no event.")
@json_option
def evaluate_events(
    truth: Path,
    events: Path,
    collar_s: float,
    length_s: float | None,
    picture: Path | None,
    background: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare EVENTS (JSON lines of `ppsdk run`) with TRUTH: CSV with label,start_s,end_s and,
    where there are several recordings, path. Draws both on one time axis.
    """
    from ppsdk.scoring.figures import as_text, evaluate_events
    from ppsdk.scoring.recordings import join_recordings, read_records, read_truth, without
    from ppsdk.scoring.timeline import draw_timeline

    recordings = join_recordings(
        without(read_truth(truth), background), read_records(events), length_s=length_s
    )
    evaluation = evaluate_events(recordings, collar_s=collar_s)
    file = picture or events.with_suffix(".png")
    draw_timeline(recordings, file)
    if as_json:
        print_json({**evaluation.to_dict(), "picture": str(file)})
    else:
        click.echo(as_text(evaluation))
        click.echo(f"see {file}")


@click.command()
@click.argument("videos", type=PATH)
@click.argument("truth", type=PATH)
@model_option
@click.option(
    "--out",
    type=PATH,
    default="event-options.json",
    show_default=True,
    help="File; one that is there is replaced.",
)
@click.option("--max-false-alarms", type=FROM_0, help="An hour: the best recall, not the best F1.")
@click.option("--max-delay-s", type=SECONDS, help="Of the median event.")
@click.option("--background", multiple=True, help="Label that is no event; may be repeated.")
@click.option(
    "--trials", type=Integer(min=1), default=500, show_default=True, help="Options to try."
)
@click.option("--length-s", type=SECONDS, help="Window, seconds; the model's own unless given.")
@click.option("--stride-s", type=SECONDS, help="From window to window; overlap as the model's.")
@click.option(
    "--cache",
    type=PATH,
    default=".ppsdk-scores",
    show_default=True,
    help="Folder for the scores of videos, which need not be computed again.",
)
@threads_option
@json_option
def tune(
    videos: Path,
    truth: Path,
    model_dir: Path,
    out: Path,
    max_false_alarms: float | None,
    max_delay_s: float | None,
    background: tuple[str, ...],
    trials: int,
    length_s: float | None,
    stride_s: float | None,
    cache: Path,
    threads: int | None,
    as_json: bool,
) -> None:
    """Find the event options that do best on VIDEOS (a file, or a folder) of which TRUTH says what
    happens: CSV with path,label,start_s,end_s. Writes them to --out, for `ppsdk run --events`, and
    the trade-off beside it as a PNG. What other videos would see is estimated by folds; classes get
    thresholds of their own where that helps there.
    """
    from dataclasses import replace

    from ppsdk.event_options import stream_options, write_options
    from ppsdk.result_files import check_file
    from ppsdk.scoring.recordings import read_truth
    from ppsdk.scoring.scored import score_videos, videos_of
    from ppsdk.scoring.tradeoff import draw_tradeoff
    from ppsdk.scoring.trials import Goal
    from ppsdk.scoring.tuning import as_text, tune

    check_file(out)
    check_file(out.with_suffix(".png"))
    with open_recognizer(model_dir, threads, "f32") as recognizer:
        labels = recognizer.labels
        step_s = recognizer.facts.grid(length_s, stride_s).stride_s
        before = stream_options(labels, stride_s=step_s)
        if background:
            before = replace(before, background=background)
        before.check_labels(labels)
        listed = videos_of(videos, read_truth(truth, labels=labels))
        scored = score_videos(
            recognizer,
            listed,
            length_s=length_s,
            stride_s=stride_s,
            cache=cache,
            progress=progress,
        )
    goal = Goal(max_false_alarms, max_delay_s)
    done = tune(scored, before=before, stride_s=step_s, goal=goal, count=trials, progress=progress)
    picture = out.with_suffix(".png")
    draw_tradeoff(done, picture)
    write_options(done.best.options, out)
    if as_json:
        print_json({**done.to_dict(), "picture": str(picture)})
    else:
        click.echo(as_text(done))
        given = {"--length-s": length_s, "--stride-s": stride_s}
        window = "".join(f" {name} {value:g}" for name, value in given.items() if value)
        click.echo(f"wrote {out}: ppsdk run SOURCE --model {model_dir} --events {out}{window}")
        click.echo(f"see {picture}")
