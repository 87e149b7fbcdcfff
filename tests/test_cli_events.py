"""evaluate-events and tune as a user runs them."""

import json
import shutil

import pytest
from conftest import SYNTH
from PIL import Image
from test_cli import assert_refused, run

from ppsdk import ActionEvent
from ppsdk.event_options import read_options

TRUTH = "label,start_s,end_s\npick,0,4\nplace,4,8\nidle,8,12\n"


@pytest.fixture
def files(tmp_path):
    """pick is told of at 1.5 as 0.5 to 4, place is missed."""
    (tmp_path / "truth.csv").write_text(TRUTH)
    records = [
        ActionEvent("1", "pick", 0, 0.9, 0.5, 1, "a.mp4", phase="start", decided_s=1.5),
        ActionEvent("1", "pick", 0, 0.9, 0.5, 4, "a.mp4", sequence=1, decided_s=5),
    ]
    lines = [json.dumps(record.to_dict()) for record in records]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_evaluate_events(files):
    arguments = [files / "truth.csv", files / "events.jsonl", "--background", "idle"]
    done = run("evaluate-events", *arguments, "--length-s", 3600, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert (told["all"]["actions"], told["all"]["events"], told["hours"]) == (2, 1, 1)
    assert told["all"]["tiou"]["0.7"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667}
    assert told["all"]["delay_s"]["median"] == 1.5 and told["all"]["missed"] == 1
    assert set(told["per_class"]) == {"pick", "place"}
    assert Image.open(files / "events.png").size[0] == 1280
    text = run("evaluate-events", *arguments, "--picture", files / "picture").stdout
    assert "F1@0.5" in text and "see" in text and Image.open(files / "picture").format == "PNG"


def test_evaluate_events_refuses_in_one_line(files):
    truth, events = files / "truth.csv", files / "events.jsonl"
    assert_refused(run("evaluate-events", truth, truth), "truth.csv: line 1")
    assert_refused(run("evaluate-events", events, events), "events.jsonl: must be CSV")
    assert_refused(run("evaluate-events", files / "x.csv", events), "x.csv: cannot read the truth")
    done = run("evaluate-events", truth, events, "--picture", files / "none" / "p.png")
    assert_refused(done, "p.png")


def test_tune(small_dir, tmp_path):
    """The labels of a seeded model mean nothing; that it finds the best of what there is does."""
    for name in ("base_64.mp4", "ntsc_2997.mp4"):
        shutil.copy(SYNTH / name, tmp_path / name)
    rows = ["path,label,start_s,end_s", "base_64.mp4,class_000,0,2", "ntsc_2997.mp4,class_001,0,1"]
    truth = tmp_path / "truth.csv"
    truth.write_text("\n".join(rows))
    arguments = ["tune", tmp_path, truth, "--model", small_dir, "--out", tmp_path / "o.json"]
    arguments += ["--trials", 5, "--cache", tmp_path / "cache"]
    done = run(*arguments, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and done.stderr == ""
    assert (told["videos"], told["trials"], told["held_out"]["actions"]) == (2, 6, 2)
    assert told["class_trials"] <= 9 * 2 * 3, "thresholds, classes, both videos and two folds"
    assert told["tuned"]["tiou"]["0.5"]["f1"] >= told["before"]["tiou"]["0.5"]["f1"]
    assert read_options(tmp_path / "o.json").to_dict() == told["options"]
    assert Image.open(tmp_path / "o.png").size == (900, 600)
    shown = run(
        *("run", tmp_path / "base_64.mp4", "--model", small_dir, "--show-options"),
        *("--events", tmp_path / "o.json"),
    )
    assert json.loads(shown.stdout) == told["options"]

    truth.write_text("\n".join([rows[0], "base_64.mp4,dance,0,2"]))
    assert_refused(run(*arguments), "truth.csv: line 2: label 'dance' is not among the model's")
    truth.write_text("\n".join([rows[0], "x.mp4,class_000,0,2"]))
    assert_refused(run(*arguments), "the truth names 'x.mp4': not there")


def test_tune_finds_a_file_that_it_cannot_write_before_it_scores(small_dir, tmp_path):
    shutil.copy(SYNTH / "base_64.mp4", tmp_path / "a.mp4")
    (tmp_path / "t.csv").write_text("path,label,start_s,end_s\na.mp4,class_000,0,2\n")
    arguments = ["tune", tmp_path, tmp_path / "t.csv", "--model", small_dir]
    arguments += ["--cache", tmp_path / "cache", "--out"]
    for out, says in ((tmp_path, "Is a directory"), (tmp_path / "t.csv" / "o.json", "t.csv: ")):
        assert_refused(run(*arguments, out), says)
    assert not (tmp_path / "cache").exists()
