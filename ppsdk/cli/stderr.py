"""What commands tell on stderr: in lines for people or, with --log-json, in JSON."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import click

from ppsdk.json_logs import JsonFormatter
from ppsdk.sources.credentials import masked

log = logging.getLogger("ppsdk.cli")

LOG_JSON = "--log-json"
_as_json = False

# Looked for by `set_up`, before a command line that may be wrong is understood.
log_json_option = click.option(
    LOG_JSON, is_flag=True, expose_value=False, help="Logs and errors as JSON, an object a line."
)


def set_up(args: Sequence[str]) -> None:
    """For logs and failures; what a program that runs commands itself does with logs is its own."""
    global _as_json
    _as_json = LOG_JSON in args
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if _as_json:
        handler.setFormatter(JsonFormatter())
        log.setLevel(logging.INFO)
        logging.captureWarnings(True)
        sys.excepthook = _log_exception
        threading.excepthook = _log_of_thread
        sys.unraisablehook = _log_unraisable
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def fail(message: str, code: int) -> int:
    line = masked(" ".join(message.split()))
    if _as_json:
        log.error("%s", line)
    else:
        click.echo(f"ppsdk: error: {line}", err=True)
    return code


def say(message: str) -> None:
    """Something good to know."""
    if _as_json:
        log.info("%s", message)
    else:
        click.echo(f"ppsdk: {message}", err=True)


def tell(what: str, values: dict[str, Any]) -> None:
    """JSON-ready values, which a log has under the name of what they are."""
    if _as_json:
        log.info("%s: statistics", what, extra={what: values})
    else:
        click.echo(json.dumps(values, ensure_ascii=False), err=True)


def has_people() -> bool:
    """Somebody looks at it, whom a progress bar pleases."""
    return sys.stderr.isatty() and not _as_json


def _log_exception(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    log.critical("%s", error, exc_info=(kind, error, traceback))


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_type is not SystemExit and args.exc_value is not None:
        _log_exception(args.exc_type, args.exc_value, args.exc_traceback)


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        _log_exception(args.exc_type, args.exc_value, args.exc_traceback)
