"""Events in ten rendered minutes, with options tuned on thirty others: work_cell_events.py OUT

Videos and scores are kept in OUT: the next run starts from them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from ppsdk import EventOptions, Recognizer, detect_events
from ppsdk.demo.film import film_scene
from ppsdk.demo.render import Scene
from ppsdk.demo.run import BUNDLED
from ppsdk.event_options import stream_options, write_options
from ppsdk.intervals import LabelledSpan
from ppsdk.scoring.figures import as_text, evaluate_events
from ppsdk.scoring.recordings import Recording, told_events
from ppsdk.scoring.scored import ScoredVideo, score_videos
from ppsdk.scoring.timeline import draw_timeline
from ppsdk.scoring.tradeoff import draw_tradeoff
from ppsdk.scoring.trials import Goal
from ppsdk.scoring.tuning import as_text as tuning_text
from ppsdk.scoring.tuning import tune

REPORT, TUNE = range(10), range(10, 40)
MINUTE_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--max-false-alarms", type=float)
    parser.add_argument("--max-delay-s", type=float)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with Recognizer(args.model, num_threads=args.threads) as recognizer:
        stride_s, length_s = recognizer.facts.stride_s, recognizer.facts.length_s
        before = stream_options(recognizer.labels, stride_s=stride_s)
        others, unseen = (
            score_videos(recognizer, [film(args.out, seed) for seed in seeds], cache=args.out)
            for seeds in (TUNE, REPORT)
        )
    goal = Goal(args.max_false_alarms, args.max_delay_s)
    done = tune(others, before=before, stride_s=stride_s, goal=goal, count=args.trials)
    write_options(done.best.options, args.out / "events.json")
    draw_tradeoff(done, args.out / "events.png")
    print(f"tuned on scenes {TUNE.start} to {TUNE.stop - 1}")
    print(tuning_text(done))
    for name, options in (("ppsdk run", before), ("tuned", done.best.options)):
        recordings = [told(video, options) for video in unseen]
        draw_timeline(recordings, args.out / f"{name.split()[-1]}.png")
        print(f"\nscenes {REPORT.start} to {REPORT.stop - 1}, options: {name}")
        print(as_text(evaluate_events(recordings)))
    print(f"asked: F1@0.5 0.90, delay {length_s / 2 + stride_s:g} s, 6 false alarms an hour")


def film(out: Path, seed: int) -> tuple[Path, tuple[LabelledSpan, ...]]:
    scene = Scene.from_seed("demo", seed, MINUTE_S)
    file = out / f"scene{seed:02d}.mp4"
    if not file.exists():
        film_scene(scene, file)
    return file, tuple(LabelledSpan(step.label, step.start_s, step.end_s) for step in scene.steps)


def told(video: ScoredVideo, options: EventOptions) -> Recording:
    labels = video.windows[0].labels
    events = told_events(detect_events(video.windows, labels=labels, options=options))
    truth = without_background(video.truth, options.background)
    return Recording(video.name, truth, tuple(events), video.length_s)


def without_background(
    spans: Iterable[LabelledSpan], background: Sequence[str]
) -> tuple[LabelledSpan, ...]:
    return tuple(span for span in spans if span.label not in background)


if __name__ == "__main__":
    main()
