"""Commands that measure events: evaluate-events, tune."""

from __future__ import annotations

from pathlib import Path

import click

from ppsdk.cli.shared import PATH, SECONDS, json_option, print_json


@click.command("evaluate-events")
@click.argument("truth", type=PATH)
@click.argument("events", type=PATH)
@click.option("--collar-s", type=SECONDS, default=0.5, show_default=True)
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
