"""The command line. Results go to stdout; everything else, errors in one line, to stderr."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from ppsdk.cli import demo, events, measure, model, recognize, training
from ppsdk.cli.stderr import fail, log_json_option, set_up
from ppsdk.version import __version__


def main(args: Sequence[str] | None = None, prog_name: str = "ppsdk") -> int:
    """Run a command; returns the exit code: 0, 1 for a failure, 2 for wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Labels may have characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    set_up(sys.argv[1:] if args is None else args)
    try:
        result = cli.main(args, prog_name=prog_name, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # Whoever read stdout has gone; keep Python from failing again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return fail(_what(error), 1)
    except ImportError as error:  # OpenCV without libGL, as on a machine that has no desktop
        return fail(f"cannot load what it needs: {error}", 1)
    except ValueError as error:
        return fail(str(error), 1)


def _what(error: OSError) -> str:
    """As other errors read: the file, then why."""
    told = error.strerror and error.filename
    return f"{error.filename}: {error.strerror}" if told else error.strerror or str(error)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Action recognition with PP-TSMv2 on OpenVINO."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


for command in (
    model.convert,
    model.quantize,
    measure.sensitivity,
    measure.report,
    recognize.classify,
    recognize.run,
    recognize.evaluate,
    recognize.inspect,
    events.evaluate_events,
    events.tune,
    training.train,
    training.pretrain,
    demo.demo,
    demo.selftest,
):
    cli.add_command(log_json_option(command))
