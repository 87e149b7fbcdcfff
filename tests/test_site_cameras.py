"""The cameras of a site's file, and what is an event on each of them."""

from test_site_problems import RIGHT, problems_of

LABELS = "idle, insert, loosen, pick, place, remove, tighten"


def test_event_options_that_contradict_each_other_are_told_where_they_are(tmp_path):
    common = "[events]\non_threshold = 0.4\nbackground = ['idle']\n"
    cameras = (
        "[[cameras]]\nname = 'a'\nurl = '0'\nevents.off_threshold = 0.6\n"
        "[[cameras]]\nname = 'b'\nurl = '1'\n[cameras.events]\non_threshold = 0.7\n"
        "[cameras.events.per_class.waltz]\nmin_duration_s = 1\n"
    )
    head, _, tail = RIGHT.partition("[[cameras]]")
    told = problems_of(tmp_path, f"{head}{common}{cameras}[sinks]{tail.partition('[sinks]')[2]}")
    assert told == [
        (8, "cameras.events.off_threshold is 0.6: must be no more than on_threshold, 0.4"),
        (14, f"cameras.events.per_class.waltz: no label 'waltz': the model has {LABELS}"),
    ]


def test_what_is_wrong_with_all_is_not_told_of_each(tmp_path):
    common = "[events]\non_threshold = 0.8\nbackground = ['dance']\n[[cameras]]\n"
    text = RIGHT.replace("[[cameras]]\n", f"{common}events.off_threshold = 0.7\n")
    told = problems_of(tmp_path, text)
    assert told == [(4, f"events.background: no label 'dance': the model has {LABELS}")]
