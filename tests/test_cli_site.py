"""`ppsdk run --config`: what is said of a file, and what is not taken beside it."""

from test_cli import assert_refused, run
from test_site_problems import FAULTS, FAULTY, RIGHT


def test_check_says_so_and_goes(tmp_path):
    file = tmp_path / "site.toml"
    file.write_text(RIGHT)
    done = run("run", "--config", file, "--check")
    assert (done.returncode, done.stdout) == (0, f"{file}: is right: cameras bench; sinks stdout\n")
    file.write_text(RIGHT.replace("bench", "b", 1).replace("stdout", "stdin"))
    assert_refused(run("run", "--config", file, "--check"), f"{file}:6: sinks.stdin", code=2)
    file.write_text(FAULTY)
    for arguments in (["--check"], []):
        done = run("run", "--config", file, *arguments)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == len(FAULTS)


def test_a_site_is_not_told_anything_beside_its_file(tmp_path):
    done = run("run", "film.mp4", "--config", "site.toml", "--model", "m", "--per-window")
    assert_refused(done, "--config says it all: must be without SOURCES, --model, --per-w", code=2)
    assert_refused(run("run", "film.mp4"), "must be SOURCES and --model, or --config", code=2)
    assert_refused(run("run", "film.mp4", "--model", "m", "--check"), "or --config", code=2)
