"""The options of `run` that say when scores are an event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ppsdk.cli.numbers import FROM_0, SECONDS, SHARE, Integer
from ppsdk.cli.shared import PATH

if TYPE_CHECKING:
    from ppsdk.event_options import EventOptions

Command = TypeVar("Command", bound=Callable[..., Any])


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Aside, for `chosen_options`: a dozen arguments that only go on to EventOptions."""
    if value is not None and value != () and value is not False:
        context.meta[f"ppsdk.event.{option.name}"] = value


def _option(name: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(name, expose_value=False, callback=_keep, **settings)


OPTIONS = (
    _option("--events", type=PATH, help="Options file, as `ppsdk tune` writes it."),
    _option("--per-window", is_flag=True, help="One event a window."),
    _option("--on-threshold", type=SHARE, help="Score that starts an event."),
    _option("--off-threshold", type=SHARE, help="Score below which it ends."),
    _option("--min-duration-s", type=FROM_0, help="Shorter ones are not told."),
    _option("--merge-gap-s", type=FROM_0, help="Gap over which an event goes on."),
    _option("--cooldown-s", type=FROM_0, help="Rest of a class after an event."),
    _option("--max-duration-s", type=SECONDS, help="Longer ones are cut."),
    _option("--update-interval-s", type=FROM_0, help="Between updates of a long one."),
    _option("--smoothing", type=click.Choice(["none", "mean", "ema"]), help="Of scores."),
    _option("--smoothing-windows", type=Integer(min=1), help="Over so many windows."),
    _option("--background", multiple=True, help="Label that is no event; may be repeated."),
    _option("--unknown-below", type=SHARE, help="No class where the best score is lower."),
    _option("--independent", is_flag=True, help="Several classes at once."),
)


def event_options(command: Command) -> Command:
    """All of OPTIONS; `chosen_options` has what they say."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def chosen_options(labels: Sequence[str], *, stride_s: float) -> EventOptions:
    """Those for streams, or of the file, and what was given beside it. Raises ValueError for what
    contradicts itself, or names labels that are not there.
    """
    from ppsdk.event_options import EventOptions, overridden, read_options, stream_options

    meta = click.get_current_context().meta
    prefix = "ppsdk.event."
    given = {name[len(prefix) :]: meta[name] for name in meta if name.startswith(prefix)}
    file: Path | None = given.pop("events", None)
    if file is not None:
        options = read_options(file)
    elif "per_window" in given:
        options = EventOptions()
    else:
        options = stream_options(labels, stride_s=stride_s)
    options = overridden(options, given)
    options.check_labels(labels)
    return options
