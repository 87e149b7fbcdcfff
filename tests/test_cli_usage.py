"""What holds for all commands: what their help says, and which values they take."""

import io
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import click
import pytest

from ppsdk.cli import cli, main

COMMANDS = sorted(cli.commands)


def run(*arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = main([str(argument) for argument in arguments])
    return code, stdout.getvalue(), stderr.getvalue()


def options_of(command):
    return [param for param in cli.commands[command].params if isinstance(param, click.Option)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is_for(command):
    assert not [option.opts[0] for option in options_of(command) if not option.help]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_number_may_be_nan_or_infinite(command):
    numbers = [o for o in options_of(command) if isinstance(o.type, click.types.FloatParamType)]
    for option in numbers:
        for text in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                option.type.convert(text, option, None)


def test_without_a_command_the_help_is_shown_as_lines():
    code, stdout, stderr = run()
    assert code == 2 and stdout == ""
    assert any(line.startswith("  classify  ") for line in stderr.splitlines())


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_by_either_name(option):
    code, stdout, stderr = run("classify", option)
    assert code == 0 and stderr == "" and "--top INTEGER" in stdout


def test_a_word_in_place_of_a_number():
    code, _, stderr = run("tune", "a", "b", "--model", "m", "--length-s", "two")
    assert code == 2 and "'--length-s': 'two' is not a valid number" in stderr


def test_a_library_that_cannot_be_loaded_is_told_in_one_line():
    program = "import sys; sys.modules['cv2'] = None; from ppsdk.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "demo", "--out", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert (
        done.stderr.startswith("ppsdk: error: cannot load what it needs: ") and "cv2" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1


def test_an_output_that_cannot_be_written_is_named_before_the_reason(tmp_path):
    (tmp_path / "truth.csv").write_text("label,start_s,end_s\na,0,1\n")
    (tmp_path / "events.jsonl").write_text("")
    files = tmp_path / "truth.csv", tmp_path / "events.jsonl"
    picture = tmp_path / "none" / "x.png"
    code, _, stderr = run("evaluate-events", *files, "--length-s", "2", "--picture", picture)
    assert code == 1 and stderr == f"ppsdk: error: {picture}: No such file or directory\n"
