"""What `ppsdk demo` does: an unseen scene as a stream, and what was said of it beside the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppsdk.demo.annotate import COLOURS, write_annotated
from ppsdk.demo.film import film_scene
from ppsdk.demo.render import Scene
from ppsdk.demo.truth import event_f1, window_top1, write_truth
from ppsdk.event_options import EventOptions
from ppsdk.events import detect_events
from ppsdk.intervals import LabelledSpan
from ppsdk.recognizer import Recognizer
from ppsdk.records import ActionEvent, WindowScores
from ppsdk.scoring.matching import match_events
from ppsdk.scoring.recordings import Recording, told_events
from ppsdk.scoring.timeline import draw_timeline

BUNDLED = Path(__file__).parent / "bundled"
NOTHING = "idle"  # is seen and scored, but is no event
OPTIONS = EventOptions(background=(NOTHING,))
WRITTEN = ("scene.mp4", "events.jsonl", "truth.csv", "annotated.mp4", "timeline.png")
Progress = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True)
class DemoResult:
    """events, truth: without idling. windows_right, windows: those of which one action covers three
    quarters; mixed_right, mixed: the others.
    """

    events: tuple[ActionEvent, ...]
    truth: tuple[LabelledSpan, ...]
    windows_right: int
    windows: int
    mixed_right: int
    mixed: int

    @property
    def event_f1(self) -> float:
        return event_f1(self.events, self.truth)

    @property
    def window_top1(self) -> float:
        return self.windows_right / max(1, self.windows)

    def to_dict(self) -> dict[str, Any]:
        return {
            "event_f1": round(self.event_f1, 4),
            "window_top1": round(self.window_top1, 4),
            "windows": self.windows,
            "mixed_window_top1": round(self.mixed_right / max(1, self.mixed), 4),
            "mixed_windows": self.mixed,
            "events": len(self.events),
            "truth": len(self.truth),
            "matched": len(match_events(self.events, self.truth)),
        }


def run_demo(
    recognizer: Recognizer,
    out: Path,
    *,
    seed: int,
    length_s: float,
    on_event: Callable[[ActionEvent, LabelledSpan | None], None],
    progress: Progress = lambda items, label: items,
) -> DemoResult:
    """Render a scene that no training has seen, recognise it as a stream, and write scene.mp4,
    events.jsonl, truth.csv, annotated.mp4 and timeline.png to `out`.

    on_event: is told of each event as it ends, with the action that it overlaps most.
    """
    OPTIONS.check_labels(recognizer.labels)
    out.mkdir(parents=True, exist_ok=True)
    for name in WRITTEN:  # of another scene, if this one is stopped
        (out / name).unlink(missing_ok=True)
    scene = Scene.from_seed("demo", seed, length_s)
    film_scene(scene, out / "scene.mp4", progress)
    with (out / "events.jsonl").open("w", encoding="utf-8") as file:

        def note(event: ActionEvent, nearest: LabelledSpan | None) -> None:
            file.write(json.dumps(event.to_dict()) + "\n")
            if event.phase == "end":
                on_event(event, nearest)

        result = watch(recognizer, out / "scene.mp4", scene, note)
    write_truth(result.truth, out / "truth.csv")
    watched = Recording("", result.truth, tuple(told_events(result.events)), scene.length_s)
    draw_timeline([watched], out / "timeline.png", colours=COLOURS)
    write_annotated(out / "scene.mp4", result.events, result.truth, out / "annotated.mp4", progress)
    return result


def watch(
    recognizer: Recognizer,
    file: Path,
    scene: Scene,
    on_event: Callable[[ActionEvent, LabelledSpan | None], None] = lambda event, nearest: None,
) -> DemoResult:
    """Recognise the filmed scene as a stream, and compare with what really happened in it.

    on_event: is told of each event as it starts and ends, with the action that it overlaps most.
    """
    spans = tuple(LabelledSpan(step.label, step.start_s, step.end_s) for step in scene.steps)
    truth = tuple(span for span in spans if span.label != NOTHING)
    windows: list[WindowScores] = []
    events: list[ActionEvent] = []
    for event in detect_events(
        _noting(recognizer.windows(file), windows),
        labels=recognizer.labels,
        options=OPTIONS,
        source=file.name,
    ):
        if event.phase == "end":
            events.append(event)
        on_event(event, _nearest(event, truth))
    return DemoResult(tuple(events), truth, *window_top1(windows, spans))


def _noting(stream: Iterable[WindowScores], windows: list[WindowScores]) -> Iterator[WindowScores]:
    for window in stream:
        windows.append(window)
        yield window


def _nearest(event: ActionEvent, truth: tuple[LabelledSpan, ...]) -> LabelledSpan | None:
    def shared_s(span: LabelledSpan) -> float:
        return min(span.end_s, event.end_s) - max(span.start_s, event.start_s)

    best = max(truth, key=shared_s, default=None)
    return best if best is not None and shared_s(best) > 0 else None
