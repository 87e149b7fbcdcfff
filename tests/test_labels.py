"""Label files of every form give class 0 to class 0, or are refused."""

import json

import pytest
from conftest import HERE

from converters.labels import read_labels
from ppsdk import ModelError

LABELS = HERE / "cases" / "labels"
TOLD = tuple(f"act_{i:03d}" for i in range(400))


@pytest.mark.parametrize(
    "name",
    [
        "k400_id_name.txt",
        "k400_name_only.txt",
        "k400_crlf_bom.txt",
        "k400_shuffled.txt",
        "k400_blank_comment.txt",
        "k400.json",
    ],
)
def test_every_form_gives_the_same_labels(name):
    assert read_labels(LABELS / name, 400) == TOLD


def test_spaces_in_names():
    assert read_labels(LABELS / "k400_spaces_tabs.txt", 400)[3] == "playing the act_003"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("k400_one_based.txt", r"ids 1..400, without 0: the model has 400 classes, 0..399"),
        ("k400_399_lines.txt", "399 labels"),
        ("k400_duplicate_id.txt", "id 398 more than once"),
        ("none.txt", "cannot read labels"),
    ],
)
def test_contradictions_are_refused(name, says):
    with pytest.raises(ModelError, match=says) as caught:
        read_labels(LABELS / name, 400)
    assert name in str(caught.value)


def test_too_many_classes_for_the_model():
    with pytest.raises(ModelError, match="400 labels.*the model has 5 classes"):
        read_labels(LABELS / "k400.json", 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('["a", "b c"]', ("a", "b c")),
        ('{"b": 1, "a": 0}', ("a", "b")),
        ("1,b\n0,a\n", ("a", "b")),
        ("3 point shot\nlay up", ("3 point shot", "lay up")),  # not every line has a number
        ("5\n7", ("5", "7")),  # names of gestures
        ("ünï\n视频", ("ünï", "视频")),
        ("O\u0308\nb", ("\u00d6", "b")),  # decomposed
    ],
)
def test_small_files(tmp_path, text, told):
    (tmp_path / "labels").write_text(text, "utf-8")
    assert read_labels(tmp_path / "labels", 2) == told


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1, 2]", "names are texts"),
        ('{"a": "0", "b": 1}', "ids numbers"),
        ('["a", ', "not valid JSON"),
        ('{"a": 0, "a": 1}', "label 'a' more than once"),
        ("a\na", "label 'a' more than once"),
        ('["a", " "]', "an empty label"),
        ("", "0 labels"),
        ("1 a\n0", "line '0': most lines are `id name`, so each must be"),
        ("[" * 100_000, "not valid JSON"),
        ("9" * 5000 + " a\n0 b", "ids 0..999999999, without 1"),
        (json.dumps({"a": 0, "b": 5}), "without 1"),
    ],
)
def test_bad_small_files(tmp_path, text, says):
    (tmp_path / "labels").write_text(text, "utf-8")
    with pytest.raises(ModelError, match=says):
        read_labels(tmp_path / "labels", 2)


def test_one_line_without_its_name_does_not_turn_ids_into_names(tmp_path):
    """Taken for names, all six would stand in the order of the lines: every answer wrong."""
    (tmp_path / "labels").write_text("5 push\n4 punch\n3 point\n2\n1 hug\n0 handshake\n")
    with pytest.raises(ModelError, match="line '2'"):
        read_labels(tmp_path / "labels", 6)
