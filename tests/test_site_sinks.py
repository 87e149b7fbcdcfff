"""Sinks that a site changes while records come: nothing is lost, and nothing is told twice."""

import json
import shutil
import threading

import pytest
from action_records import record, whole_event
from barcode import read
from event_films import film, made, nothing_else, seen
from event_films import told as told_of
from test_sinks import Told
from waiting import wait_for
from webhook_server import WebhookServer

from ppsdk.cli.sink_options import tell_sinks
from ppsdk.sinks import JsonLines, Sinks, spool_counts
from ppsdk.sinks.clips import ClipOptions, clip_counts
from ppsdk.site.changeable import Changeable
from ppsdk.site.clips import ClipsSetup
from ppsdk.site.remotes import SpooledSetup, SpoolSetup, WebhookSetup
from ppsdk.site.sinks import LinesSetup
from ppsdk.site.tap import CurrentTap


def lines(path, *, fsync=False):
    return LinesSetup("jsonl", path, max_bytes=None, daily=False, fsync=fsync)


def told(path):
    events = map(json.loads, path.read_text().splitlines())
    return [(event["id"], event["phase"], event.get("ended_by")) for event in events]


def test_what_one_webhook_has_not_taken_goes_to_the_next(tmp_path):
    """Event a is over before the change, b and c go on; in all there are eight records."""
    spool = SpoolSetup(tmp_path / "spool", max_bytes=10**6, max_age_s=1e6, fsync=False)
    a, b, c = (whole_event(id) for id in "abc")
    with WebhookServer(lambda number: 500) as away, WebhookServer() as there:
        remotes = [WebhookSetup(server.url, "hush", None, 5.0) for server in (away, there)]
        setups = [SpooledSetup("webhook", remote, spool) for remote in remotes]
        with Changeable(setups[0]) as sink:
            for each in (*a, b[0], c[0], b[1]):
                sink(each)
            wait_for(lambda: away.requests)
            sink.change(setups[1])
            for each in (b[2], c[1]):
                sink(each)
            wait_for(lambda: len(there.taken) == 8)
            assert sink.sink.counts().waiting == sink.sink.counts().dropped == 0
    keys = [headers["Idempotency-Key"] for headers, _ in there.taken]
    assert keys == ["a-0", "a-1", "a-2", "b-0", "c-0", "b-1", "b-2", "c-1"], "none interrupted"


def test_a_file_that_is_opened_anew_keeps_what_goes_on_open(tmp_path):
    """Event x of a process that was killed is over, a of this one is not."""
    first, other = tmp_path / "first.jsonl", tmp_path / "other.jsonl"
    killed = record("start", id="x")
    other.write_text(json.dumps(killed.to_dict()) + "\n")
    start, update, end = whole_event("a")
    with Changeable(lines(first)) as sink:
        sink(start)
        sink.change(lines(first, fsync=True))
        assert told(first) == [("a", "start", None)]
        sink.change(lines(other))
        sink(update)
        sink.change(lines(first))
        sink(end)
    assert told(other) == [
        ("x", "start", None),
        ("x", "end", "interrupted"),
        ("a", "update", None),
    ]
    assert told(first) == [("a", "start", None), ("a", "end", "over")]


def test_a_sink_that_comes_later_knows_what_goes_on(tmp_path):
    """As one that was there before, went, and comes again."""
    path = tmp_path / "events.jsonl"
    start, _, end = whole_event("a")
    with Changeable(lines(path)) as sink:
        sink(start)
    with Changeable(lines(path), going_on={"a"}) as sink:
        sink(end)
    assert told(path) == [("a", "start", None), ("a", "end", "over")]


def test_one_that_cannot_be_opened_leaves_the_old_one_at_work(tmp_path):
    path = tmp_path / "events.jsonl"
    start, _, end = whole_event("a")
    with Changeable(lines(path)) as sink:
        sink(start)
        with pytest.raises(OSError, match="No such file"):
            sink.change(lines(tmp_path / "none" / "events.jsonl"))
        sink(end)
        assert sink.setup == lines(path)
    assert told(path) == [("a", "start", None), ("a", "end", "over")]


def test_a_sink_that_could_not_be_opened_again_is_with_the_next_change(tmp_path):
    """Both folders are gone; later the first one is there again."""
    folder = tmp_path / "here"
    folder.mkdir()
    first = lines(folder / "events.jsonl")
    start, _, end = whole_event("a")
    with Changeable(first) as sink:
        sink(start)
        shutil.rmtree(folder)
        with pytest.raises(OSError, match="No such file"):
            sink.change(lines(tmp_path / "none" / "events.jsonl"))
        assert not sink.is_open and sink.setup == first
        folder.mkdir()
        sink.change(first)
        assert sink.is_open
        sink(end)
    assert told(folder / "events.jsonl") == [("a", "end", "over")]


def test_a_sink_that_opened_again_by_itself_can_be_changed(tmp_path):
    """A record came between the change that failed and the next; the file was then in the way of
    itself.
    """
    folder = tmp_path / "here"
    folder.mkdir()
    first = lines(folder / "events.jsonl")
    start, update, end = whole_event("a")
    with Changeable(first) as sink:
        sink(start)
        shutil.rmtree(folder)
        with pytest.raises(OSError, match="No such file"):
            sink.change(lines(tmp_path / "none" / "events.jsonl"))
        folder.mkdir()
        sink(update)
        sink.change(lines(folder / "events.jsonl", fsync=True))
        sink(end)
    assert [phase for _, phase, _ in told(folder / "events.jsonl")] == ["update", "end"]
    with JsonLines(folder / "events.jsonl"):
        pass  # it was closed


@pytest.mark.slow
def test_what_waits_goes_along_to_another_spool(tmp_path, caplog):
    """Nobody would look into the old one again."""
    a, b = (whole_event(id) for id in "ab")
    there = threading.Event()
    with WebhookServer(lambda number: 200 if there.is_set() else 500) as server:
        remote = WebhookSetup(server.url, None, None, 5.0)
        one, other, taken = (
            SpooledSetup(
                "webhook",
                remote,
                SpoolSetup(tmp_path / name, max_bytes=10**6, max_age_s=1e6, fsync=False),
            )
            for name in ("one", "other", "taken")
        )
        taken.open(()).close()
        with Changeable(one) as sink:
            for each in a[:2]:
                sink(each)
            wait_for(lambda: server.requests)
            sink.change(other)
            assert sink.counts().waiting == 2 and not one.file.exists()
            # Of two spools, one waits until it is that of the site again.
            sink.change(taken)
            assert sink.counts().waiting == 0 and other.file.exists()
            assert f"{other.file}: 2 records are left" in caplog.text
            there.set()
            for each in (a[2], *b):
                sink(each)
            wait_for(lambda: len(server.taken) == 4)
            sink.change(other)
            wait_for(lambda: len(server.taken) == 7)
    keys = [headers["Idempotency-Key"] for headers, _ in server.taken]
    # That spool does not know how a ended: the end is told again, by the key that it had.
    assert keys == ["a-2", "b-0", "b-1", "b-2", "a-0", "a-1", "a-2"]


def test_what_waits_in_one_spool_is_sent_before_there_is_another(tmp_path):
    there = threading.Event()
    a, b = (whole_event(id) for id in "ab")
    with WebhookServer(lambda number: 200 if there.is_set() else 500) as server:
        setups = [
            SpooledSetup(
                "webhook",
                WebhookSetup(server.url, None, None, 5.0),
                SpoolSetup(tmp_path / name, max_bytes=10**6, max_age_s=1e6, fsync=False),
            )
            for name in ("one", "other")
        ]
        with Changeable(setups[0]) as sink:
            for each in a:
                sink(each)
            wait_for(lambda: server.requests)
            there.set()
            sink.change(setups[1])
            for each in b:
                sink(each)
            wait_for(lambda: len(server.taken) == len(a) + len(b))
    keys = [headers["Idempotency-Key"] for headers, _ in server.taken]
    assert keys == ["a-0", "a-1", "a-2", "b-0", "b-1", "b-2"]


def test_sinks_come_and_go(tmp_path):
    paths = [tmp_path / f"{number}.jsonl" for number in range(2)]
    a, b, c = (record(id=id) for id in "abc")
    one, other = (Changeable(lines(path)) for path in paths)
    other.name = "other"
    with Sinks([one]) as sinks:
        sinks(a)
        with pytest.raises(ValueError, match="two sinks are called 'jsonl'"):
            sinks.add(one)
        sinks.add(other)
        sinks(b)
        sinks.remove("jsonl")
        sinks(c)
    assert [[id for id, *_ in told(path)] for path in paths] == [["a", "b"], ["b", "c"]]


def filming(folder, **options):
    return ClipsSetup(folder, ClipOptions(**options))


def play(current, *happenings):
    """A camera of 10 frames a second, 10 s of it, and what happens at which second. All its frames
    come out, whatever becomes of the clips.
    """
    waiting = list(happenings)
    indices = []
    for frame in CurrentTap(current)("door", film(100), live=True):
        indices.append(read(frame.image).index)
        while waiting and waiting[0][0] <= frame.pts_s:
            waiting.pop(0)[1]()
    assert indices == list(range(100)) and not waiting


def test_clips_take_other_options_without_losing_a_frame(tmp_path):
    """The clips of a and b stay as they were begun, whatever comes then; that of b reaches back
    behind the change before, to second 2.
    """
    with Changeable(filming(tmp_path, pre_s=1.0, post_s=2.0)) as sink:
        more = filming(tmp_path, pre_s=3.0, post_s=1.0)
        less = filming(tmp_path, pre_s=0.0, post_s=0.0, look_back_s=0.0, fps=5.0)
        play(
            lambda: sink.sink,
            (4.0, lambda: sink(told_of("start", 3.0, 3.5))),
            (4.5, lambda: sink.change(more)),
            (5.5, lambda: sink(told_of("start", 5.0, 5.5, id="b"))),
            (5.7, lambda: sink.change(less)),
            (6.5, lambda: sink(told_of("end", 3.0, 5.0))),
            (8.5, lambda: sink(told_of("end", 5.0, 6.5, id="b"))),
            (9.2, lambda: sink(told_of("end", 8.0, 9.0, id="c"))),
        )
        assert sink.setup == less
    spans = {r["event"]["id"]: (r["start_s"], r["end_s"]) for _, r in made(tmp_path)}
    assert spans == {"a": (2.0, 6.9), "b": (2.0, 7.5), "c": (8.1, 8.9)}
    films = {record["event"]["id"]: seen(path)[0] for path, record in made(tmp_path)}
    assert films["a"] == [*range(20, 58), *range(59, 70, 2)] and films["c"] == [81, 83, 85, 87, 89]
    assert clip_counts(sink).written == 3 and clip_counts(sink).incomplete == 0
    assert nothing_else(tmp_path)


def test_clips_that_give_way_to_a_smaller_budget_do_so_at_once(tmp_path):
    with Changeable(filming(tmp_path)) as sink:
        play(
            lambda: sink.sink,
            *((9.0, lambda id=id: sink(told_of("end", 1.0, 2.0, id=id))) for id in "abc"),
        )
        wait_for(lambda: sink.counts().written == 3)
        sink.change(filming(tmp_path, budget_bytes=1))
        wait_for(lambda: sink.counts().deleted == 2)
        assert clip_counts(sink) == sink.counts() and spool_counts(sink) is None
    assert len(made(tmp_path)) == 1 and nothing_else(tmp_path)


def test_clips_in_another_folder(tmp_path):
    """Event a has what there is of it by then, and nothing in the other one; b begins with the
    first frame after the change, which the record says.
    """
    one, other = tmp_path / "one", tmp_path / "other"
    with Changeable(filming(one, pre_s=1.0, post_s=2.0)) as sink:
        play(
            lambda: sink.sink,
            (4.0, lambda: sink(told_of("start", 3.0, 3.5))),
            (4.5, lambda: sink.change(filming(other, pre_s=2.0, post_s=1.0))),
            (4.5, lambda: sink(told_of("start", 4.0, 4.5, id="b"))),
            (6.0, lambda: sink(told_of("end", 3.0, 5.0))),
            (6.0, lambda: sink(told_of("end", 4.0, 5.0, id="b"))),
        )
    ((path, a),) = made(one)
    assert seen(path)[0] == list(range(20, a["frames"] + 20)) and a["event"]["id"] == "a"
    assert a["frames"] == 26
    ((path, b),) = made(other)
    assert seen(path)[0] == list(range(46, 61)) and b["event"]["id"] == "b"
    assert b["missing_start_s"] == pytest.approx(2.6) and b["missing_end_s"] == 0
    assert nothing_else(one) and nothing_else(other)


def test_clips_come_and_go_while_a_camera_is_read(tmp_path):
    """Event a began before, b is open when they go."""
    setup = filming(tmp_path, pre_s=1.0, post_s=1.0)
    there = []

    def current():
        return there[0].sink if there else None

    def go():
        there[0].close()
        there.clear()

    play(
        current,
        (1.0, lambda: there.append(Changeable(setup, going_on={"a"}))),
        (2.0, lambda: there[0](told_of("end", 0.5, 1.5))),
        (5.0, lambda: there[0](told_of("start", 4.0, 5.0, id="b"))),
        (6.0, go),
    )
    ((path, record),) = made(tmp_path)
    assert record["event"]["id"] == "b" and nothing_else(tmp_path)
    assert seen(path)[0] == list(range(30, 61))
    assert clip_counts(Told("x")) is None


def test_an_event_without_a_clip_is_told_of_at_the_end(tmp_path, capfd):
    """Nothing is read of the door."""
    with Sinks([Changeable(filming(tmp_path))]) as sinks:
        sinks(told_of("end", 3.0, 5.0))
    assert tell_sinks(sinks, statistics=True)
    told, error = capfd.readouterr().err.splitlines()
    assert json.loads(told)["clips"]["failed"] == 1 and "spool" not in json.loads(told)
    assert "clips: 1 events have no clip" in error
