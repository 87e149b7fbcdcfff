"""Sinks that a site changes while records come: nothing is lost, and nothing is told twice."""

import json

import pytest
from action_records import record, whole_event
from test_spool import wait_for
from webhook_server import WebhookServer

from ppsdk.sinks import Sinks
from ppsdk.site.changeable import Changeable
from ppsdk.site.sinks import LinesSetup, SpoolSetup, WebhookSetup


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
        setups = [WebhookSetup(s.url, "hush", None, 5.0, spool) for s in (away, there)]
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
