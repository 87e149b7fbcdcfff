"""`ppsdk demo`, and the model that it carries."""

import csv
import json
import signal
import subprocess
import sys

import av
import pytest
from waiting import wait_for

from ppsdk import Recognizer
from ppsdk.demo.cell import LABELS
from ppsdk.demo.run import BUNDLED, NOTHING, run_demo
from ppsdk.model import load_model


def demo(*arguments):
    command = [sys.executable, "-m", "ppsdk", "demo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A scene that neither the model nor its makers have looked at."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = demo("--seed", 4711, "--minutes", 0.2, "--out", out, "--json")
    assert done.returncode == 0 and done.stderr == ""
    return out, done.stdout.splitlines()


def test_events_come_beside_the_truth(shown):
    out, lines = shown
    summary = json.loads(lines[-1])
    assert {"event_f1", "window_top1", "events", "seconds"} <= summary.keys()
    # The card says 97 % over ten scenes; guessing which way each action goes would give 62 %.
    assert summary["window_top1"] >= 0.9
    assert len(lines) == summary["events"] + 1 and all("truth:" in line for line in lines[:-1])
    records = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    events = [record for record in records if record["phase"] == "end"]
    assert len(events) == summary["events"] and len(records) == 2 * len(events)
    assert {event["label"] for event in events} <= set(LABELS) - {NOTHING}
    assert [e["start_s"] for e in events] == sorted(e["start_s"] for e in events)


def test_the_files_are_whole(shown):
    out, _ = shown
    with (out / "truth.csv").open() as file:
        truth = list(csv.DictReader(file))
    assert truth and set(truth[0]) == {"label", "start_s", "end_s"}
    with av.open(str(out / "annotated.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 300
    assert (out / "timeline.png").stat().st_size > 5000


def test_a_model_of_other_actions_is_refused_before_anything_is_rendered(tmp_path, small_dir):
    out = tmp_path / "out"
    with Recognizer(small_dir) as other, pytest.raises(ValueError, match="not among the labels"):
        run_demo(other, out, seed=0, length_s=6, on_event=lambda event, nearest: None)
    assert not out.exists()


def test_it_watches_a_camera(tmp_path):
    from stallserver import Camera

    with Camera("live", fps=50) as camera:
        command = [sys.executable, "-m", "ppsdk", "demo", "--camera", camera.url]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            wait_for(lambda: camera.sent > 150 or process.poll() is not None)
        finally:
            process.kill()
            told = process.communicate()
        assert process.returncode == -signal.SIGKILL, told


def test_a_camera_has_no_events_of_idling(shown, tmp_path):
    """A film stands in for it."""
    film = shown[0] / "scene.mp4"
    with Recognizer(BUNDLED) as recognizer:
        assert NOTHING in {event.label for event in recognizer.events(film)}
    done = demo("--camera", film, "--json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and {event["phase"] for event in told} == {"end"}
    assert len(told) == json.loads(shown[1][-1])["events"]
    assert NOTHING not in {event["label"] for event in told}
    for option in (["--seed", 0], ["--minutes", 2], ["--out", tmp_path]):
        refused = demo("--camera", 0, *option)
        assert refused.returncode == 2 and f"{option[0]} is for a rendered scene" in refused.stderr


def test_the_bundled_model():
    model, facts = load_model(BUNDLED)
    assert facts.labels == LABELS and facts.precision == "INT8"
    size = sum((BUNDLED / name).stat().st_size for name in ("model.xml", "model.bin"))
    assert size <= 8_000_000
    assert (BUNDLED / "MODEL_CARD.md").exists()


def test_the_bundled_weights_are_to_start_from():
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from converters.checkpoint import read_checkpoint
    from training.network import load_network

    network = load_network(BUNDLED / "work_cell.safetensors")
    assert network.options.num_classes == len(LABELS)
    stored = read_checkpoint(BUNDLED / "work_cell.safetensors")
    assert {str(array.dtype) for array in stored.arrays.values()} == {"float16"}
