"""Figures of events, by hand and against sed_eval; files of truth and of events."""

import json
import random
import warnings
from dataclasses import replace

import numpy as np
import pytest

from ppsdk import ActionEvent
from ppsdk.intervals import LabelledSpan
from ppsdk.scoring.figures import as_text, evaluate_events, tally
from ppsdk.scoring.matching import match_events, most_pairs, tiou
from ppsdk.scoring.recordings import (
    Recording,
    ToldEvent,
    join_recordings,
    path_of,
    read_records,
    read_truth,
    told_events,
    without,
)
from ppsdk.scoring.timeline import PALETTE, WRONG, colours_of, draw_timeline

TRUTH = (LabelledSpan("pick", 0, 4), LabelledSpan("place", 4, 8), LabelledSpan("pick", 10, 12))


def told(label, start_s, end_s, told_s=None):
    return ToldEvent(label, start_s, end_s, end_s if told_s is None else told_s)


def recording(*events, truth=TRUTH, length_s=3600):
    return Recording("", truth, events, length_s)


def test_overlap_over_union():
    seen = tiou([told("pick", 1, 5), told("pick", 5, 6)], TRUTH)
    assert seen[0] == pytest.approx([3 / 5, 0, 0]) and seen[1] == pytest.approx([0, 0, 0])


def test_as_many_pairs_as_can_be():
    """The best event of the one action is the only one of the other: it gives way."""
    allowed = np.array([[True, True], [True, False]])
    preferred = np.array([[0.9, 0.5], [0.4, 0]])
    assert most_pairs(allowed, preferred) == {0: 1, 1: 0}
    assert most_pairs(np.array([[True], [True]]), np.array([[0.4], [0.9]])) == {1: 0}


def test_pairs_may_make_room_for_each_other_over_thousands():
    """Actions of a second without a pause, each told 0.6 s late: all fit the next one better, and
    the last has none, so that all have to move up.
    """
    truth = [LabelledSpan("pick", i, i + 1) for i in range(3000)]
    overlap = tiou([told("pick", i + 0.6, i + 1.6) for i in range(3000)], truth)
    assert overlap[0, :2] == pytest.approx([0.4 / 1.6, 0.6 / 1.4])
    assert most_pairs(overlap > 0.2, overlap) == {i: i for i in range(3000)}


def test_figures_by_hand():
    """pick: 0-4 told of as 1-5 (tIoU .6) at 2.5, and again as 0-0.5; 10-12 is told of too early,
    as 9.5-11.5 (.6), at 10; and once where nothing is. place: 4-8 as 4-7 (.75), told of at 9.
    """
    events = (
        told("pick", 0, 0.5, 1),
        told("pick", 1, 5, 2.5),
        told("place", 4, 7, 9),
        told("pick", 9.5, 11.5, 10),
        told("pick", 20, 21),
    )
    evaluation = evaluate_events([recording(*events)])
    of_all, pick = evaluation.all, evaluation.classes["pick"]
    assert (of_all.actions, of_all.events, of_all.right) == (3, 5, (3, 3, 1))
    assert of_all.f1_at(0.5) == pytest.approx(2 * 3 / 8)
    # Ends may be off by half of the action, starts by half a second.
    assert of_all.in_collar == 2
    assert (pick.noticed, pick.false_alarms, pick.false_alarms_per_hour) == (2, 2, 2)
    assert sorted(of_all.delays_s) == [0, 2.5, 5] and of_all.median_delay_s == 2.5
    row = evaluation.to_dict()["all"]
    assert row["tiou"]["0.5"] == {"precision": 0.6, "recall": 1.0, "f1": 0.75}
    assert row["delay_s"] == {"median": 2.5, "p95": 4.75} and row["missed"] == 0
    text = as_text(evaluation)
    assert "at tIoU 0.5: precision 0.60, recall 1.00" in text and "60.0 minutes" in text


def test_half_an_overlap_is_enough():
    assert match_events([told("pick", 0.1, 0.4)], [LabelledSpan("pick", 0.1, 0.7)]) == {0: 0}


def test_nothing_happened_and_nothing_was_told():
    nothing = evaluate_events([recording(truth=())])
    assert nothing.all.f1_at(0.5) == 1 and nothing.to_dict()["all"]["delay_s"]["p95"] is None
    assert tally(recording(), "pick").recall == 0
    false = evaluate_events([recording(told("pick", 0, 1), truth=(), length_s=1800)]).all
    assert (false.false_alarms_per_hour, false.recall, false.f1_at(0.3)) == (2, 1, 0)


def random_spans(draw, make, labels):
    starts = [round(draw.uniform(0, 30), 2) for _ in range(draw.randrange(12))]
    return [make(draw.choice(labels), s, s + round(draw.uniform(0.2, 5), 2)) for s in starts]


@pytest.mark.parametrize("seed", range(40))
def test_collar_figures_are_those_of_sed_eval(seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sed_eval = pytest.importorskip("sed_eval", reason="needs the extra 'dev'")
    draw, labels = random.Random(seed), ["a", "b", "c"]
    truth = random_spans(draw, LabelledSpan, labels)
    events = random_spans(draw, told, labels)
    for span in truth:  # and some that are nearly right
        near = [round(time + draw.uniform(-0.8, 0.8), 2) for time in (span.start_s, span.end_s)]
        if draw.random() < 0.6 and near[0] < near[1]:
            events.append(told(span.label, *near))
    collar_s = draw.choice([0.2, 0.5, 1.0])
    peer = sed_eval.sound_event.EventBasedMetrics(labels, t_collar=collar_s)
    peer.evaluate(as_sed(truth), as_sed(events))
    watched = recording(*events, truth=tuple(truth))
    counts = {label: tally(watched, label, collar_s=collar_s) for label in labels}
    for label, seen in counts.items():
        theirs = peer.class_wise[label]
        assert (seen.actions, seen.events) == (theirs["Nref"], theirs["Nsys"])
        assert seen.in_collar == theirs["Ntp"]
    f1 = peer.results_overall_metrics()["f_measure"]["f_measure"]
    if truth and events:
        ours = evaluate_events([watched], collar_s=collar_s).all
        assert ours.f1(ours.in_collar) == pytest.approx(0 if np.isnan(f1) else f1)


def as_sed(spans):
    import dcase_util

    return dcase_util.containers.MetaDataContainer(
        [
            {"event_label": s.label, "onset": s.start_s, "offset": s.end_s, "filename": "a.wav"}
            for s in spans
        ]
    )


def record(phase, sequence, start_s, end_s, decided_s, source="x/a.mp4", event_id="1"):
    return ActionEvent(
        event_id, "pick", 0, 0.9, start_s, end_s, source, None, None, phase, sequence, decided_s
    )


def test_an_event_was_told_when_its_first_record_was():
    records = [record("start", 0, 1, 1.5, 2), record("update", 1, 1, 5, 6)]
    assert told_events(records) == [ToldEvent("pick", 1, 5, 2)], "a process that was killed"
    assert told_events([*records, record("end", 2, 1, 7, 9)]) == [ToldEvent("pick", 1, 7, 2)]


def test_events_go_to_the_recording_that_they_name(tmp_path):
    rows = ["path,label,start_s,end_s", "v/a.mp4,pick,0,4", "v/b.mp4,idle,0,9", "v/a.mp4,idle,4,5"]
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    truth = without(read_truth(tmp_path / "truth.csv"), ["idle"])
    one, two = join_recordings(truth, [record("end", 0, 1, 3, 3)], length_s=60)
    assert (one.name, one.truth, len(one.events)) == ("v/a.mp4", (LabelledSpan("pick", 0, 4),), 1)
    assert (two.name, two.truth, two.events, two.length_s) == ("v/b.mp4", (), (), 60)
    with pytest.raises(ValueError, match="events of 'c.mp4': the truth has v/a.mp4, v/b.mp4"):
        join_recordings(truth, [record("end", 0, 1, 3, 3, source="c.mp4")])


def test_events_of_two_files_are_not_taken_for_those_of_one():
    truth = {"day1/a.mp4": [LabelledSpan("pick", 0, 4)]}
    sources = ("/x/day1/a.mp4", "a.mp4", "day1/a.mp4")
    (one,) = join_recordings(
        truth, [record("end", 0, 1, 3, 3, source=s, event_id=s) for s in sources], length_s=60
    )
    assert len(one.events) == 3
    with pytest.raises(ValueError, match="'/x/day1/a.mp4' and of '/x/day3/a.mp4': the truth has"):
        join_recordings(
            truth, [record("end", 0, 1, 3, 3, source=f"/x/{d}/a.mp4") for d in ("day1", "day3")]
        )


def test_events_of_two_films_need_a_truth_that_tells_them_apart():
    records = [record("end", 0, 1, 3, 3, source=s, event_id=s) for s in ("a.mp4", "b.mp4")]
    with pytest.raises(ValueError, match="of 'a.mp4' and of 'b.mp4': the truth has no path"):
        join_recordings({"": [LabelledSpan("pick", 0, 4)]}, records)


def test_a_film_that_was_watched_twice_is_refused():
    """`run --jsonl` appends: all that happened would have been told twice."""
    runs = [record("end", 0, 1, 3, 3, event_id=f"{run}-1") for run in "ab"]
    later = [record("end", 0, 5, 7, 7.5, event_id=f"{run}-2") for run in "ab"]
    truth = {"a.mp4": [LabelledSpan("pick", 0, 4)]}
    assert len(join_recordings(truth, [runs[0], later[0]])[0].events) == 2
    with pytest.raises(ValueError, match="known at 3 s, behind one at 7.5 s: must be of one run"):
        join_recordings(truth, [runs[0], later[0], runs[1], later[1]])


def test_blanks_in_truth_and_marks_in_events_are_no_part_of_them(tmp_path):
    """As spreadsheets and PowerShell write them."""
    rows = ["path,label,start_s,end_s", "a.mp4 , pick,0,4"]
    (tmp_path / "truth.csv").write_text("\n".join(rows))
    assert read_truth(tmp_path / "truth.csv") == {"a.mp4": [LabelledSpan("pick", 0, 4)]}
    (tmp_path / "truth.csv").write_text("\n".join([*rows, ",pick,5,6"]))
    with pytest.raises(ValueError, match="line 3: path is empty"):
        read_truth(tmp_path / "truth.csv")
    told = replace(record("end", 0, 1, 3, 3), label="pick\u2028up").to_dict()
    text = json.dumps(told, ensure_ascii=False) + "\n"
    (tmp_path / "events.jsonl").write_text("\ufeff" + text, "utf-8")
    assert [event.label for event in read_records(tmp_path / "events.jsonl")] == ["pick\u2028up"]


def test_which_file_is_meant():
    paths = ["day1/a.mp4", "day2/a.mp4", "b.mp4"]
    assert path_of("/films/day2/a.mp4", paths) == "day2/a.mp4"
    assert path_of("C:\\films\\b.mp4", paths) == "b.mp4"
    assert path_of("a.mp4", ["a.mp4", "day1/a.mp4"]) == "a.mp4"
    assert path_of("/films/ab.mp4", paths) is None
    with pytest.raises(ValueError, match="'a.mp4' may be any of day1/a.mp4, day2/a.mp4"):
        path_of("a.mp4", paths)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "must be CSV with the columns label, start_s and end_s"),
        ("label,start_s,end_s\npick,1,x", "line 2: 'pick' from '1' to 'x': must be"),
        ("label,start_s,end_s\npick,0,1\npick,2,2", "line 3"),
        ("label,start_s,end_s\n,0,1", "line 2"),
        ("label,start_s,end_s\npick,0", "line 2"),
    ],
)
def test_truth_that_is_none(tmp_path, content, says):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError) as refused:
        read_truth(tmp_path / "t.csv")
    assert "t.csv: " in str(refused.value) and says in str(refused.value)


def test_event_files_that_are_none(tmp_path):
    file = tmp_path / "e.jsonl"
    good = json.dumps(record("end", 0, 1, 3, 3).to_dict())
    file.write_text(f"{good}\n\n{good}\n")
    assert len(read_records(file)) == 2
    for bad in ("{", "[]", "{}", good.replace("end_s", "stop_s")):
        file.write_text(f"{good}\n{bad}\n")
        with pytest.raises(ValueError, match="e.jsonl: line 2: "):
            read_records(file)
    file.write_text("version,id\n1,x\n")  # as `run --csv` writes them
    with pytest.raises(ValueError, match="line 1: must be a JSON object, as `ppsdk run --jsonl`"):
        read_records(file)
    with pytest.raises(ValueError, match="none.jsonl: cannot read the events"):
        read_records(tmp_path / "none.jsonl")


def pixels(file, colour):
    from PIL import Image, ImageColor

    image = np.asarray(Image.open(file)).reshape(-1, 3)
    return int((image == ImageColor.getrgb(colour)).all(1).sum())


def test_the_timeline_shows_what_is_wrong_in_red(tmp_path):
    def draw(*events):
        draw_timeline([recording(*events, length_s=12)], tmp_path / "t.png")
        return pixels(tmp_path / "t.png", WRONG)

    right = [told(span.label, span.start_s, span.end_s) for span in TRUTH]
    legend = draw(*right)
    assert draw(*right[:2]) > legend + 100, "a missed action"
    assert draw(*right, told("pick", 7, 9)) > legend + 100, "a false event"


def test_what_happens_at_the_same_time_is_all_seen(tmp_path):
    """Two actions in half a lane each, and two events likewise."""
    truth = [LabelledSpan("walk", 1, 11), LabelledSpan("wave", 1, 11)]
    events = [told("walk", 1, 11), told("wave", 1, 11)]
    draw_timeline([Recording("a.mp4", tuple(truth), tuple(events), 12)], tmp_path / "t.png")
    walk, wave = (pixels(tmp_path / "t.png", colour) for colour in PALETTE[:2])
    assert 0.8 < walk / wave < 1.25 and walk > 20_000


def test_many_things_at_once_can_be_drawn(tmp_path):
    """Letters for them would have no height."""
    truth = tuple(LabelledSpan(f"person {i}", 1, 11) for i in range(30))
    draw_timeline([Recording("a.mp4", truth, (), 12)], tmp_path / "t.png")
    assert pixels(tmp_path / "t.png", WRONG) > 500


def test_labels_have_colours_of_their_own():
    assert len(set(colours_of([str(i) for i in range(16)]).values())) == 16


def test_the_timeline_of_a_day_is_no_taller_than_a_screen_or_five(tmp_path):
    from PIL import Image

    draw_timeline([recording(length_s=24 * 3600), recording(length_s=60)], tmp_path / "t.png")
    assert Image.open(tmp_path / "t.png").size[1] < 6000
