"""The command line: what goes to stdout, what to stderr, and the exit code."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from conftest import SYNTH, write_tiny
from stallserver import Camera
from waiting import SOON_S, wait_for

from converters.seeded import seeded_weights
from ppsdk import Recognizer
from ppsdk.cli import main
from ppsdk.cli.recognize import _evaluate
from ppsdk.manifest import read_manifest
from ppsdk.selftest import SelfTest, as_text


def run(*arguments):
    """The command in this process: a new one takes seconds to load OpenVINO."""
    stdout, stderr = io.StringIO(), io.StringIO()
    command = [str(argument) for argument in arguments]
    with redirect_stdout(stdout), redirect_stderr(stderr):
        code = main(command)
    return subprocess.CompletedProcess(command, code, stdout.getvalue(), stderr.getvalue())


def run_alone(*arguments, **options):
    """As a user runs it, where the process itself matters."""
    command = [sys.executable, "-m", "ppsdk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def assert_refused(done, *parts, code=1):
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert all(part in line for part in parts), line
    assert "Traceback" not in line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    arrays = seeded_weights(6, num_classes=3, lta=False)
    write_tiny(folder / "x.safetensors", arrays)
    (folder / "labels.txt").write_text("a\nb\nc\n")
    return folder


@pytest.mark.parametrize("module", [["ppsdk", "convert"], ["converters"]])
def test_convert_prints_what_it_did(checkpoint, tmp_path, module):
    command = [sys.executable, "-m", *module, checkpoint / "x.safetensors", tmp_path / "out"]
    options = ["--labels", checkpoint / "labels.txt", "--num-segments", "8", "--length-s", "2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "278 arrays, all accounted for" in done.stdout
    assert "segments   8 (as given)" in done.stdout
    assert "max_abs_diff" in done.stdout and "(bound 1e-04)" in done.stdout
    told = json.loads(run("inspect", tmp_path / "out", "--json").stdout)
    assert (told["num_segments"], told["length_s"], told["stride_s"]) == (8, 2, 1)
    lines = run("inspect", tmp_path / "out").stdout.splitlines()
    assert "num_segments      8" in lines and "calibration_clips 0" in lines


def test_the_default_number_of_segments_is_printed(checkpoint, tmp_path):
    labels = checkpoint / "labels.txt"
    done = run("convert", checkpoint / "x.safetensors", tmp_path / "out", "--labels", labels)
    assert "segments   16 (the default: nothing in the file tells)" in done.stdout


def test_convert_refuses_in_one_line_and_leaves_nothing(checkpoint, tmp_path):
    out = tmp_path / "out"
    labels = ["--labels", checkpoint / "labels.txt"]
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "junk.pdparams").write_bytes(b"junk")
    x = checkpoint / "x.safetensors"
    assert_refused(run("convert", tmp_path / "junk.pdparams", out, *labels), "junk.pdparams")
    assert_refused(run("convert", tmp_path / "none", out, *labels), "none: no such file")
    assert_refused(run("convert", x, out, "--labels", tmp_path / "two.txt"), "two.txt: 2 labels")
    assert_refused(run("convert", x, out), "--labels FILE is needed")
    assert_refused(run("convert", x, out, *labels, "--num-segments", "1"), "--num-segments", code=2)
    assert_refused(run("convert", x, out, *labels, "--length-s", "-1"), "--length-s", code=2)
    assert_refused(run("convert", x), "OUT", code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["junk.pdparams", "two.txt"]


def test_an_unwritable_place_is_named(checkpoint, tmp_path):
    (tmp_path / "file").write_text("")
    labels = checkpoint / "labels.txt"
    done = run(
        "convert", checkpoint / "x.safetensors", tmp_path / "file" / "out", "--labels", labels
    )
    assert_refused(done, "file/out", "cannot write there")


def test_classify(small_dir):
    done = run("classify", SYNTH / "base_64.mp4", "--model", small_dir, "--top", "2")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 3
    assert lines[0].endswith("base_64.mp4") and lines[1].split()[1].startswith("class_")


def test_classify_goes_on_after_a_bad_file(small_dir):
    names = ["base_64.mp4", "html_404.mp4", "short_01.mp4", "x" * 300]
    videos = [SYNTH / name for name in names]
    done = run("classify", *videos, "--model", small_dir, "--json", "--sampling", "paddlevideo")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [row["path"] for row in told] == [str(videos[0]), str(videos[2])]
    assert told[0]["frame_indices"] == [3, 11, 19, 27, 35, 43, 51, 59]
    assert len(told[0]["logits"]) == 5 and len(told[0]["top"]) == 5
    error, other = done.stderr.strip().splitlines()
    assert "html_404.mp4: cannot open as video" in error and "cannot open (File name" in other


@pytest.mark.skipif(sys.platform == "win32", reason="Windows needs no help with a leading dash")
def test_a_name_with_a_leading_dash(small_dir, monkeypatch):
    monkeypatch.chdir(SYNTH)
    done = run("classify", "--model", small_dir, "--", "-dash.mp4")
    assert done.returncode == 0 and done.stdout.startswith("-dash.mp4")


def test_run_prints_events_as_json_lines(small_dir):
    done = run("run", SYNTH / "base_64.mp4", "--model", small_dir, "--per-window")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and done.stderr == ""
    assert [event["start_s"] for event in events] == [0, 0.5, 1.0, 1.5, 2.0]
    assert all(event["phase"] == "end" and event["ended_by"] == "over" for event in events)


def test_run_tells_that_an_event_starts_and_ends(small_dir):
    video = SYNTH / "base_64.mp4"
    done = run("run", video, "--model", small_dir, "--on-threshold", "0", "--merge-gap-s", "0")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and done.stderr == ""
    assert [record["phase"] for record in records] == ["start", "end"] * (len(records) // 2)
    assert [record["sequence"] for record in records] == [0, 1] * (len(records) // 2)
    ends = [record for record in records if record["phase"] == "end"]
    assert (ends[0]["start_s"], ends[-1]["end_s"]) == (0, 2.56)
    assert all(a["end_s"] == b["start_s"] for a, b in zip(ends, ends[1:]))


def test_run_shows_its_options(small_dir, tmp_path):
    video = SYNTH / "base_64.mp4"
    shown = run("run", video, "--model", small_dir, "--show-options", "--cooldown-s", "3")
    told = json.loads(shown.stdout)
    assert told["cooldown_s"] == 3 and told["merge_gap_s"] == 0.5, "the model's stride"
    (tmp_path / "o.json").write_text(json.dumps(told | {"on_threshold": 0.8}))
    options = [
        "--events",
        tmp_path / "o.json",
        "--on-threshold",
        "0.3",
        "--background",
        "class_001",
    ]
    told = json.loads(run("run", video, "--model", small_dir, "--show-options", *options).stdout)
    assert (told["on_threshold"], told["off_threshold"], told["cooldown_s"]) == (0.3, 0.3, 3)
    assert told["background"] == ["class_001"]


def test_options_are_shown_without_a_source(small_dir):
    shown = run("run", "--model", small_dir, "--show-options")
    assert shown.returncode == 0 and json.loads(shown.stdout)["on_threshold"] == 0.5


def test_run_says_that_nothing_happened(small_dir):
    video = SYNTH / "base_64.mp4"
    done = run("run", video, "--model", small_dir, "--length-s", "2", "--on-threshold", "1")
    assert done.returncode == 0 and done.stdout == ""
    assert done.stderr.startswith("ppsdk: no event in 2 windows: --per-window")


def test_options_of_events_that_are_none(small_dir, tmp_path):
    refused = ["run", SYNTH / "base_64.mp4", "--model", small_dir]
    assert_refused(run(*refused, "--background", "x"), "background 'x': not among the labels")
    assert_refused(run(*refused, "--off-threshold", "0.9"), "no more than on_threshold, 0.5")
    assert_refused(run(*refused, "--on-threshold", "2"), "--on-threshold", code=2)
    assert_refused(run(*refused, "--events", tmp_path / "o.json"), "o.json", "No such file")
    (tmp_path / "o.json").write_text('{"threshold": 1}')
    assert_refused(run(*refused, "--events", tmp_path / "o.json"), "o.json", "no such option")


def test_run_with_another_window(small_dir):
    arguments = ["--model", small_dir, "--length-s", "2", "--stride-s", "1", "--per-window"]
    events = run("run", SYNTH / "base_64.mp4", *arguments).stdout.splitlines()
    assert [json.loads(event)["end_s"] for event in events] == [2.0, 2.56]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_run_on_a_camera_prints_at_once_and_ends_on_ctrl_c(small_dir):
    with Camera("live", fps=50) as camera:
        command = [sys.executable, "-m", "ppsdk", "run", camera.url, "--model", str(small_dir)]
        process = subprocess.Popen(
            [*command, "--per-window"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, errors = process.communicate(timeout=60)
    assert first["start_time"] < first["end_time"]
    assert time.monotonic() - start < SOON_S
    assert process.returncode == 130 and errors.strip() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("mode", "options"), [("stall", []), ("never", ["--wait"])])
def test_ctrl_c_ends_a_run_that_waits_for_a_silent_camera(tiny_dir, mode, options):
    with Camera(mode) as camera:
        command = [sys.executable, "-m", "ppsdk", "run", camera.url, "--model", str(tiny_dir)]
        process = subprocess.Popen([*command, *options], stdout=-1, stderr=-1, text=True)
        wait_for(lambda: camera.opened or process.poll() is not None)
        time.sleep(1)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < SOON_S
    assert (process.returncode, told, errors.strip()) == (130, "", "")


def test_run_says_when_a_camera_is_lost_and_keeps_its_credentials_to_itself(tiny_dir):
    with Camera("flaky", fps=50) as camera:
        url = camera.url.replace("http://", "http://me:secret@")
        options = [
            "--model",
            str(tiny_dir),
            "--timeout-s",
            "2",
            "--length-s",
            "0.1",
            "--per-window",
        ]
        command = [sys.executable, "-m", "ppsdk", "run", url, *options]
        process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
        event = json.loads(process.stdout.readline())
        said = [process.stderr.readline() for _ in range(2)]
        process.kill()
        process.communicate()
    assert event["source"] == camera.url and "secret" not in "".join(said)
    assert "camera.mjpg: lost: " in said[0] and "camera.mjpg: restored: " in said[1]


def test_run_on_a_folder_of_pictures(tiny_dir, tmp_path):
    from barcode import make_frame
    from PIL import Image

    for i in range(20):
        Image.fromarray(make_frame(i, 64, 48)).save(tmp_path / f"{i}.png")
    done = run("run", tmp_path, "--fps", "10", "--model", tiny_dir, "--per-window")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["start_s"], event["end_s"]) for event in events] == [(0, 1), (0.5, 1.5), (1, 2)]


def test_a_reader_that_goes_away_is_no_traceback(small_dir):
    command = (
        f"{sys.executable} -m ppsdk run {SYNTH / 'long_3000.mp4'} --model {small_dir} --per-window"
    )
    done = subprocess.run(
        f"({command}; echo code $? >&2) | head -n 1", shell=True, capture_output=True, text=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.strip() == "code 1"


def test_wrong_use_of_commands_is_refused_in_one_line(small_dir, tmp_path):
    video = SYNTH / "base_64.mp4"
    assert_refused(run("classify", video), "--model", code=2)
    assert_refused(run("classify", "--model", small_dir), "VIDEOS", code=2)
    assert_refused(run("classify", video, "--model", tmp_path), "model.xml is missing")
    assert_refused(run("run", "missing.mp4", "--model", small_dir), "missing.mp4: no such file")
    assert_refused(run("run", "97", "--model", small_dir), "camera 97: cannot open")
    assert_refused(run("run", video, "--fps", "5", "--model", small_dir), "--fps is for", code=2)
    assert_refused(run("inspect", tmp_path), "model.xml is missing")
    xml = small_dir / "model.xml"
    assert_refused(run("inspect", xml), f"{xml}: is a file: must be the folder of model.xml")
    assert_refused(run("rum"), "rum", code=2)
    assert_refused(run("classify", video, "--model", small_dir, "--top", "0"), "--top", code=2)
    assert_refused(run("classify", video, "--model", small_dir, "--sampling", "x"), "x", code=2)


@pytest.fixture
def manifest(tmp_path):
    for name in ("base_64.mp4", "short_16.mp4", "html_404.mp4"):
        shutil.copy(SYNTH / name, tmp_path / name)
    rows = "base_64.mp4,class_000,a,test\nshort_16.mp4,class_001,b,test\n"
    (tmp_path / "manifest.csv").write_text(f"path,label,group,split\n{rows}")
    return tmp_path / "manifest.csv"


def test_evaluate(small_dir, manifest):
    done = run("evaluate", manifest, "--model", small_dir, "--split", "test", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == "", "no progress bar in a pipe"
    assert told["clips"] == 2 and told["top5"] == 1.0
    predicted = [row["predicted"] for row in told["predictions"]]
    assert told["correct"] == sum(p == t for p, t in zip(predicted, ["class_000", "class_001"]))
    assert sum(map(sum, told["confusion"])) == 2
    assert "top-1" in run("evaluate", manifest, "--model", small_dir).stdout


def test_evaluate_looks_at_the_interval_and_the_region(small_dir, tmp_path):
    """One row a second of the same file, and one of its left half: three different answers."""
    rows = ["path,label,start_s,end_s,roi", "a.mp4,class_000,0.2,0.8,", "a.mp4,class_000,1.2,1.8,"]
    rows += ["a.mp4,class_000,0.2,0.8,0 0 0.5 1"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    shutil.copy(SYNTH / "base_64.mp4", tmp_path / "a.mp4")
    with Recognizer(small_dir) as recognizer:
        told = [
            recognizer.classify(SYNTH / "base_64.mp4", span_s=span, roi=roi).logits
            for span, roi in (((0, 1), None), ((1, 2), None), ((0, 1), (0, 0, 0.5, 1)))
        ]
        clips = read_manifest(tmp_path / "m.csv")
        evaluation, errors = _evaluate(recognizer, clips, "full")
    assert not errors and len({tuple(logits) for logits in told}) == 3
    for scores, logits in zip(evaluation.scores, told, strict=True):
        assert np.array_equal(scores.logits, logits)


def test_evaluate_reports_unreadable_clips_and_goes_on(small_dir, manifest):
    with manifest.open("a") as file:
        file.write("html_404.mp4,class_000,c,test\n")
    done = run("evaluate", manifest, "--model", small_dir, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["clips"] == 2
    assert "html_404.mp4: cannot open as video" in done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("path,label,split\nbase_64.mp4,dance,test\n", "labels 'dance' are not among the model's"),
        ("file,class\nbase_64.mp4,x\n", "columns path and label"),
        ("", "columns path and label"),
        ("path,label\nbase_64.mp4,class_000\n", "has no column split"),
        ("path,label,split\nbase_64.mp4,class_000,train\n", "no clips in split 'test'"),
    ],
)
def test_manifests_that_are_none(small_dir, manifest, content, says):
    manifest.write_text(content)
    arguments = ["--model", small_dir, "--split", "test"]
    assert_refused(run("evaluate", manifest, *arguments), "manifest.csv", says)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_evaluate_shows_progress_on_a_terminal(small_dir, manifest):
    import pty

    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "ppsdk", "evaluate", manifest, "--model", small_dir]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=follower, timeout=600)
    shown = os.read(leader, 100_000).decode()
    assert done.returncode == 0 and "clips" in shown and "100%" in shown
    os.close(leader)
    os.close(follower)


def test_selftest_compares_with_the_reference(tmp_path):
    done = run_alone("selftest", "--json", "--out", tmp_path / "model")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert told["right"] and told["reference_max_abs_diff"] < 5e-3
    assert told["events"] and (tmp_path / "model" / "model.xml").exists()


def test_selftest_ends_with_a_word_for_people():
    right = SelfTest(1e-6, 1e-5, same_label=True, latency_ms=1.0, events=())
    assert as_text(right).splitlines()[-1] == "right"
    for wrong in (replace(right, reference_diff=1.0), replace(right, same_label=False)):
        assert as_text(wrong).splitlines()[-1].startswith("WRONG")


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_closed_stdout_is_no_traceback(small_dir):
    command = (
        f"{sys.executable} -m ppsdk classify {SYNTH / 'base_64.mp4'} --model {small_dir} --json >&-"
    )
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr


def test_labels_that_the_terminal_cannot_show(tmp_path):
    arrays = seeded_weights(6, num_segments=8, num_classes=2)
    write_tiny(tmp_path / "x.safetensors", arrays)
    (tmp_path / "labels.txt").write_text("握手\nüben\n", "utf-8")
    run("convert", tmp_path / "x.safetensors", tmp_path / "m", "--labels", tmp_path / "labels.txt")
    env = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = run_alone("inspect", tmp_path / "m", env=env, encoding="cp1252")
    assert done.returncode == 0 and "\\u63e1\\u624b, üben" in done.stdout


def test_a_url_is_not_for_classify(small_dir):
    done = run("classify", "http://u:secret@127.0.0.1/y.mp4", "--model", small_dir)
    assert_refused(done, "http://127.0.0.1/y.mp4: is a URL, not a file: `run` takes those")
    done = run("classify", SYNTH, "--model", small_dir)
    assert_refused(done, f"{SYNTH}: is a folder, not a file: `run` takes those of pictures")
