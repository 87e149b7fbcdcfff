"""The cameras of a site's file, and what is an event on each of them."""

import pytest
from test_site_problems import RIGHT, problems_of

LABELS = "idle, insert, loosen, pick, place, remove, tighten"


def test_event_options_that_contradict_each_other_are_told_where_they_are(tmp_path):
    common = "[events]\non_threshold = 0.4\nbackground = ['idle']\n"
    cameras = (
        "[[cameras]]\nname = 'a'\nurl = '0'\nevents.off_threshold = 0.6\n"
        "[[cameras]]\nname = 'b'\nurl = '1'\n[cameras.events]\non_threshold = 0.7\n"
        "[cameras.events.per_class.waltz]\nmin_duration_s = 1\n"
    )
    told = problems_of(tmp_path, site_of(common, cameras))
    assert told == [
        (8, "cameras.events.off_threshold is 0.6: must be no more than on_threshold, 0.4"),
        (14, f"cameras.events.per_class.waltz: no label 'waltz': the model has {LABELS}"),
    ]


def site_of(*tables):
    """RIGHT's model and sinks."""
    model, _, tail = RIGHT.partition("[[cameras]]")
    return model + "".join(tables) + "[sinks]" + tail.partition("[sinks]")[2]


def test_contradictions_are_told_beside_all_other_faults(tmp_path):
    """Two in a table that has another fault, one in a class, and one of two tables."""
    common = """\
[events]
on_threshold = 0.4
off_threshold = 0.6
smoothing = "median"
min_duration_s = 3
max_duration_s = 2
[events.per_class.pick]
off_threshold = 0.5
cooldown_s = -1
"""
    camera = """\
[[cameras]]
name = "bench"
url = "rtsp://bench.local/1"
stride_s = 0
[cameras.events]
on_threshold = 0.3
independent = "yes"
"""
    plain = "[[cameras]]\nname = 'door'\nurl = '0'\n"
    told = problems_of(tmp_path, site_of(common, plain, camera))
    assert told == [
        (4, "events.off_threshold is 0.6: must be no more than on_threshold, 0.4"),
        (5, 'events.smoothing is "median": must be "none", "mean" or "ema"'),
        (7, "events.max_duration_s is 2.0: must be no less than min_duration_s, 3.0"),
        *(
            (9, f"events.per_class.pick.off_threshold is 0.5: must be no more than {on}")
            for on in ("on_threshold, 0.4", "on_threshold, 0.3")
        ),
        (10, "events.per_class.pick.cooldown_s is -1: must be a number of seconds, 0 or more"),
        (17, "cameras.stride_s is 0: must be a number of seconds, more than 0 and at most 86400"),
        (
            19,
            "cameras.events.on_threshold: off_threshold is 0.6: must be no more than "
            "on_threshold, 0.3",
        ),
        (20, 'cameras.events.independent is "yes": must be true or false'),
    ]


@pytest.mark.parametrize("on_threshold", ["on_threshold = 2", "on_treshold = 0.9"])
def test_nothing_is_said_of_what_goes_with_a_value_that_is_not_known(tmp_path, on_threshold):
    """Neither of the camera's, which it would be without."""
    common = f"[events]\n{on_threshold}\noff_threshold = 0.7\n"
    camera = "[[cameras]]\nname = 'a'\nurl = '0'\nevents.off_threshold = 0.8\n"
    ((line, what),) = problems_of(tmp_path, site_of(common, camera))
    assert line == 3 and what.startswith("events.on_t")


def test_what_is_wrong_with_all_is_not_told_of_each(tmp_path):
    common = "[events]\non_threshold = 0.8\nbackground = ['dance']\n[[cameras]]\n"
    text = RIGHT.replace("[[cameras]]\n", f"{common}events.off_threshold = 0.7\n")
    told = problems_of(tmp_path, text)
    assert told == [(4, f"events.background: no label 'dance': the model has {LABELS}")]


@pytest.mark.parametrize("events", ["3", "{ per_class = 3 }", "{ per_class.pick = 3 }"])
def test_options_that_are_no_table_are_told(tmp_path, events):
    """And the camera is not left out without a word."""
    told = problems_of(tmp_path, RIGHT.replace("[sinks]", f"events = {events}\n[sinks]"))
    ((line, what),) = told
    assert line == 5 and what.startswith("cameras.events")
