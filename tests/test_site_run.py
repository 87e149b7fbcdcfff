"""A site at work: real processes, real cameras, real signals."""

import sys

import pytest
from site_process import SiteProcess, camera_table, site_text
from stallserver import Camera

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")

JSONL = '[sinks.jsonl]\npath = "events.jsonl"\n'
LABELS = {f"class_{i:03d}" for i in range(5)}


def ids_of(events, source, phase="start"):
    return {e["label"]: e["id"] for e in events if e["source"] == source and e["phase"] == phase}


def test_an_open_event_of_an_unchanged_camera_goes_on_over_a_reload(tiny_dir, tmp_path):
    """The bench stays, the door gets another stride, the gate goes and the hall comes."""
    with Camera("live") as bench, Camera("live") as door, Camera("live") as gate:
        unchanged, tables = camera_table("bench", bench.url), [JSONL]
        before = [camera_table("door", door.url), camera_table("gate", gate.url)]
        after = [camera_table("door", door.url, "stride_s = 0.2"), camera_table("hall", gate.url)]
        with SiteProcess(tmp_path, site_text(tiny_dir, unchanged, *before, *tables)) as site:
            for name in ("bench", "door", "gate"):
                site.wait_for_events(5, source=name, phase="start")
            told = site.reload(site_text(tiny_dir, *after, unchanged, *tables))
            site.wait_for_events(10, source="door", phase="start")
            site.wait_for_events(5, source="hall", phase="start")
            code, _ = site.stop()
            events = site.events()
    assert "reloaded: another camera door, new camera hall, without camera gate" in told
    assert (len(bench.opened), len(door.opened), len(gate.opened)) == (1, 2, 2)
    assert code == 0
    starts, ends = ids_of(events, "bench"), ids_of(events, "bench", "end")
    assert set(starts) == LABELS and starts == ends, "one event a class from first to last"
    for name in ("bench", "door", "gate", "hall"):
        of_camera = [e for e in events if e["source"] == name]
        assert [e["ended_by"] for e in of_camera if e["phase"] == "end"] == ["end"] * (
            len(of_camera) // 2
        )
