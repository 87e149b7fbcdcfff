"""What commands share: options, progress, JSON lines."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ppsdk.cli.numbers import ABOVE_0, SECONDS, Integer, Number
from ppsdk.cli.stderr import has_people

if TYPE_CHECKING:
    from ppsdk.recognizer import Recognizer
    from ppsdk.records import Roi
    from ppsdk.stream_options import StreamOptions

Item = TypeVar("Item")
Command = TypeVar("Command", bound=Callable[..., Any])
FileSampling = Literal["full", "paddlevideo"]
PATH = click.Path(path_type=Path)

model_option = click.option(
    "--model", "model_dir", required=True, type=PATH, help="Folder written by `ppsdk convert`."
)
threads_option = click.option(
    "--threads", type=Integer(min=1), help="CPU threads; all unless given."
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


def source_options(command: Command) -> Command:
    """--realtime, --wait, --timeout-s and --fps: how a source is read."""
    options = (
        click.option("--realtime", is_flag=True, help="Play a file as if it happened now."),
        click.option("--wait", is_flag=True, help="Wait for a camera that is not there yet."),
        click.option(
            "--timeout-s",
            type=SECONDS,
            default=10.0,
            show_default=True,
            help="A camera that takes longer to open, or to send a picture, is lost.",
        ),
        click.option("--fps", type=ABOVE_0, help="Of a folder of pictures; 1 unless given."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def several_options(command: Command) -> Command:
    """--roi, --still-below and --statistics: what each of several streams may have."""
    options = (
        click.option(
            "--roi",
            "rois",
            type=(str, float, float, float, float),
            multiple=True,
            metavar="SOURCE X0 Y0 X1 Y1",
            help="Look at this part of a source, in fractions of its picture.",
        ),
        click.option(
            "--still-below",
            type=Number(min=0, max=255, min_open=True),
            metavar="LEVELS",
            help="Do not compute a window that differs from the last one computed by less: it has "
            "the same scores.",
        ),
        click.option("--statistics", is_flag=True, help="At the end, say how each source fared."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def stream_options(
    sources: Sequence[str],
    rois: Sequence[tuple[str, float, float, float, float]],
    *,
    fps: float | None,
    realtime: bool,
) -> list[StreamOptions]:
    from ppsdk.stream_options import StreamOptions

    roi_of: dict[str, Roi] = {source: (x0, y0, x1, y1) for source, x0, y0, x1, y1 in rois}
    for source in roi_of:
        if source not in sources:
            raise click.UsageError(f"--roi is for {source!r}: must be one of the sources")
    is_video = any(
        "://" in source or source.isdecimal() or os.path.isfile(source) for source in sources
    )
    if fps is not None and is_video and not any(map(os.path.isdir, sources)):
        raise click.UsageError("--fps is for folders of pictures: none of the sources is one")
    return [
        StreamOptions(source, roi=roi_of.get(source), fps=fps, realtime=realtime)
        for source in sources
    ]


def open_recognizer(
    model_dir: Path, threads: int | None, precision: Literal["f32", "bf16", "f16"]
) -> Recognizer:
    from ppsdk.recognizer import Recognizer

    return Recognizer(model_dir, num_threads=threads, precision=precision)


def progress(items: Iterable[Item], label: str) -> Iterator[Item]:
    """A bar on a terminal, nothing in a pipe."""
    with click.progressbar(items, label=label, file=sys.stderr, hidden=not has_people()) as bar:
        yield from bar


def need(*packages: str, extra: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"needs {', '.join(missing)}: pip install 'ppsdk[{extra}]' (in a checkout '.[{extra}]')"
        )


def print_json(value: dict[str, Any]) -> None:
    """One object a line, at once: whoever reads the pipe should not wait for a buffer to fill."""
    click.echo(json.dumps(value, ensure_ascii=False))
    if sys.stdout is not None:
        sys.stdout.flush()
