"""`ppsdk run --config`: one file for a site."""

from __future__ import annotations

import logging
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ppsdk.cli.metrics import open_metrics
from ppsdk.cli.shared import PATH, need, open_recognizer
from ppsdk.cli.sink_options import tell_sinks, told_at_ctrl_c
from ppsdk.cli.stderr import fail
from ppsdk.cli.termination import closed_at_sigterm

if TYPE_CHECKING:
    from ppsdk.site.load import Site
    from ppsdk.site.run import RunningSite

log = logging.getLogger(__name__)
Command = TypeVar("Command", bound=Callable[..., Any])
# How long a change may hold up the end.
_LAST_CHANGE_S = 10.0


def site_options(command: Command) -> Command:
    """--config, --check and --state."""
    options = (
        click.option("--config", type=PATH, help="One file for a site, in place of all the rest."),
        click.option("--check", is_flag=True, help="Only say whether the file is right."),
        click.option("--state", type=PATH, help="Folder for what a site writes; the file's own."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def refuse_others(context: click.Context) -> None:
    """What the file says is not said twice."""
    alone = ("config", "check", "state", "log_json", "metrics")
    given = [
        option.opts[0] if isinstance(option, click.Option) else "SOURCES"
        for option in context.command.params
        if option.name not in alone
        and context.get_parameter_source(option.name or "")
        not in (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.ENVIRONMENT)
    ]
    if given:
        raise click.UsageError(f"--config says it all: must be without {', '.join(given)}")


def run_site(file: Path, *, check: bool, state: Path | None) -> int:
    """0 at its end or after SIGTERM, 1 where a sink lost records, or a camera failed without
    SIGTERM, 2 for a file that is not right.
    """
    need("pydantic", *([] if sys.version_info >= (3, 11) else ["tomli"]), extra="site")
    from ppsdk.site.load import load_site
    from ppsdk.site.notify import tell_systemd
    from ppsdk.site.problems import SiteError
    from ppsdk.site.run import RunningSite

    load = partial(load_site, file, state_dir=state)
    with ExitStack() as stack:
        wishes = stack.enter_context(_hangups())
        try:
            site = load()
        except SiteError as error:
            for problem in error.problems:
                fail(problem, 2)
            return 2
        if check:
            click.echo(f"{file}: is right: {_summary(site)}")
            return 0
        model = site.model
        recognizer = stack.enter_context(
            open_recognizer(model.folder, model.threads, model.precision)
        )
        running = stack.enter_context(
            told_at_ctrl_c(RunningSite(site, recognizer), lambda it: it.sinks, statistics=False)
        )
        metrics = stack.enter_context(
            open_metrics(running.streams, running.sinks, recognizer.labels)
        )
        stack.enter_context(closed_at_sigterm(running.stop))
        stack.enter_context(_changes(wishes, running, load))
        tell_systemd(READY=1, STATUS=f"{len(site.cameras)} cameras")
        running.run(metrics)
        tell_systemd(STOPPING=1)
        failed = running.failed()
    has_lost = tell_sinks(running.sinks, statistics=False)
    return 1 if has_lost or (failed and not running.stopped) else 0


def _summary(site: Site) -> str:
    cameras = ", ".join(camera.name for camera in site.cameras)
    return f"cameras {cameras}; sinks {', '.join(sink.kind for sink in site.sinks)}"


@contextmanager
def _hangups() -> Iterator[queue.SimpleQueue[bool]]:
    """True for each SIGHUP from now on."""
    wishes: queue.SimpleQueue[bool] = queue.SimpleQueue()
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    # The only thing that a handler may do: what it interrupts may be at any line.
    before = signal.signal(signal.SIGHUP, lambda number, frame: wishes.put(True))
    try:
        yield wishes
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _changes(
    wishes: queue.SimpleQueue[bool], running: RunningSite, load: Callable[[], Any]
) -> Iterator[None]:
    """A thread that changes the site with its file, whenever that is wished for."""

    def obey() -> None:
        while wishes.get() and not running.stopped:
            _change(running, load)

    thread = threading.Thread(target=obey, name="ppsdk site", daemon=True)
    thread.start()
    try:
        yield
    finally:
        wishes.put(False)
        thread.join(_LAST_CHANGE_S)


def _change(running: RunningSite, load: Callable[[], Any]) -> None:
    from ppsdk.site.notify import tell_reloading, tell_systemd
    from ppsdk.site.problems import SiteError

    tell_reloading()
    try:
        told = f"reloaded: {running.change(load())}"
        log.warning("%s", told)
    except Exception as error:  # whatever it is, what runs goes on
        problems = error.problems if isinstance(error, SiteError) else [str(error)]
        for problem in problems:
            log.error("%s", problem)
        count = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        told = f"not reloaded, all goes on as it was: {count}"
        log.error("%s", told)
    tell_systemd(READY=1, STATUS=told)
