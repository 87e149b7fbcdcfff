"""What options say, and that contradictions are refused by name."""

import json

import pytest

from ppsdk import EventOptions
from ppsdk.event_options import (
    ContradictoryOptions,
    read_options,
    stream_options,
    write_options,
)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"smoothing": "median"}, "smoothing is 'median': must be one of none, mean, ema"),
        ({"smoothing_windows": 0}, "smoothing_windows is 0: must be a whole number, 1 or more"),
        ({"on_threshold": 1.5}, "on_threshold is 1.5: must be 0 to 1"),
        ({"on_threshold": "0.5"}, "on_threshold is '0.5': must be 0 to 1"),
        ({"on_threshold": float("nan")}, "on_threshold is nan"),
        ({"on_threshold": 0.5, "off_threshold": 0.6}, "off_threshold is 0.6: must be no more"),
        ({"off_threshold": 0.4}, "off_threshold is 0.4: must be no more than on_threshold, None"),
        ({"min_duration_s": -1}, "min_duration_s is -1: must be 0 s or more"),
        ({"max_duration_s": 0}, "max_duration_s is 0: must be more than 0 s"),
        ({"max_duration_s": 1, "min_duration_s": 2}, "no less than min_duration_s, 2"),
        ({"independent": True}, "need an on_threshold"),
        ({"per_window": True, "cooldown_s": 1}, "per_window does not go with cooldown_s"),
        ({"background": "idle"}, "background is 'idle': must be a list of labels"),
        ({"per_class": {"A": {"smoothing": "mean"}}}, "per_class 'A': smoothing: must be of"),
        ({"per_class": {"A": {"on_threshold": 2}}}, "per_class 'A': on_threshold is 2"),
    ],
)
def test_what_is_refused(options, says):
    with pytest.raises(ValueError) as refused:
        EventOptions(**options)
    assert says in str(refused.value)


def test_a_class_has_its_own_and_the_rest_in_common():
    options = EventOptions(on_threshold=0.5, merge_gap_s=1, per_class={"A": {"on_threshold": 0.8}})
    assert options.of_class("A").on_threshold == 0.8 and options.of_class("A").merge_gap_s == 1
    assert options.of_class("B").on_threshold == 0.5


def test_labels_that_are_not_there():
    with pytest.raises(ValueError, match="background 'idle': not among the labels A, B"):
        EventOptions(background=["idle"]).check_labels(["A", "B"])
    with pytest.raises(ValueError, match="per_class 'C'"):
        EventOptions(per_class={"C": {"cooldown_s": 1}}).check_labels(["A", "B"])


def test_all_contradictions_are_told_at_once():
    """That of A is its own; B, which has none, is not told of what contradicts itself in all."""
    with pytest.raises(ContradictoryOptions) as caught:
        EventOptions(
            on_threshold=0.5,
            off_threshold=0.6,
            max_duration_s=1,
            min_duration_s=2,
            per_class={"A": {"min_duration_s": 3}, "B": {"cooldown_s": 1}},
        )
    assert [(found.label, found.names) for found in caught.value.found] == [
        (None, ("off_threshold", "on_threshold")),
        (None, ("max_duration_s", "min_duration_s")),
        ("A", ("max_duration_s", "min_duration_s")),
    ]
    assert str(caught.value) == (
        "off_threshold is 0.6: must be no more than on_threshold, 0.5; "
        "max_duration_s is 1: must be no less than min_duration_s, 2; "
        "per_class 'A': max_duration_s is 1: must be no less than min_duration_s, 3"
    )


def test_a_file_and_back(tmp_path):
    options = EventOptions(
        smoothing="ema",
        on_threshold=0.6,
        background=["idle"],
        per_class={"A": {"cooldown_s": 2.5}},
    )
    write_options(options, tmp_path / "o.json")
    assert read_options(tmp_path / "o.json") == options
    assert json.loads((tmp_path / "o.json").read_text()) == options.to_dict()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "must be a JSON object"),
        ("{", "Expecting"),
        ('{"x": 0.5}', "x: no such option, there are smoothing"),
        ('{"on_treshold": 0.5}', "on_treshold: no such option (is on_threshold meant?), there are"),
        ('{"on_threshold": 7}', "on_threshold is 7"),
        ('{"per_class": {"A": 1}}', "per_class"),
    ],
)
def test_files_that_are_none(tmp_path, content, says):
    (tmp_path / "o.json").write_text(content)
    with pytest.raises(ValueError) as refused:
        read_options(tmp_path / "o.json")
    assert "o.json: " in str(refused.value) and says in str(refused.value)
    with pytest.raises(ValueError, match="missing.json: .*No such file"):
        read_options(tmp_path / "missing.json")


def test_the_set_for_streams_leaves_out_labels_that_mean_nothing():
    options = stream_options(["idle", "pick"], stride_s=0.5)
    assert options.background == ("idle",) and options.merge_gap_s == 0.5
    assert options.off_threshold < options.on_threshold
    assert stream_options(["pick"], stride_s=0.5).background == ()
