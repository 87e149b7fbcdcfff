"""Events in streams joined from labelled clips: benchmarks/joined_clips.py MANIFEST --model DIR

Where one clip ends and the next starts is known, so the figures are those of `ppsdk
evaluate-events`: with the options of `ppsdk run`, and with options tuned on the other streams.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from machine import machine_line

from ppsdk import EventOptions, Frame, Recognizer, detect_events, open_source
from ppsdk.event_options import stream_options
from ppsdk.intervals import LabelledSpan
from ppsdk.manifest import LabelledClip, read_manifest
from ppsdk.scoring.figures import as_text, evaluate_events
from ppsdk.scoring.recordings import Recording, told_events
from ppsdk.scoring.scored import ScoredVideo
from ppsdk.scoring.trials import Goal
from ppsdk.scoring.tuning import tune

FRAME_S = 1 / 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--length-s", type=float, default=2.0)
    parser.add_argument("--stride-s", type=float, default=0.5)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    clips = read_manifest(args.manifest, split=args.split)
    random.Random(0).shuffle(clips)
    with Recognizer(args.model, num_threads=args.threads) as recognizer:
        streams = [
            score_joined(recognizer, clips[i :: args.streams], args.length_s, args.stride_s)
            for i in range(args.streams)
        ]
        before = stream_options(recognizer.labels, stride_s=args.stride_s)
    print(machine_line())
    print("options of `ppsdk run`")
    print(as_text(evaluate_events([told(stream, before) for stream in streams])))
    held_out = []
    for stream in streams:
        others = [other for other in streams if other is not stream]
        done = tune(others, before=before, stride_s=args.stride_s, goal=Goal(), count=300)
        held_out.append(told(stream, done.best.options))
    print("options tuned on the other streams")
    print(as_text(evaluate_events(held_out)))


def score_joined(
    recognizer: Recognizer, clips: Sequence[LabelledClip], length_s: float, stride_s: float
) -> ScoredVideo:
    truth: list[LabelledSpan] = []

    def frames() -> Iterator[Frame]:
        start_s = 0.0
        for clip in clips:
            last_s = 0.0
            for frame in open_source(clip.path):
                last_s = start_s + frame.pts_s
                yield Frame(frame.image, last_s)
            truth.append(LabelledSpan(clip.label, start_s, last_s + FRAME_S))
            start_s = last_s + FRAME_S

    windows = tuple(recognizer.windows(frames(), length_s=length_s, stride_s=stride_s))
    return ScoredVideo(clips[0].name, windows, tuple(truth))


def told(stream: ScoredVideo, options: EventOptions) -> Recording:
    labels = stream.windows[0].labels
    events = told_events(detect_events(stream.windows, labels=labels, options=options))
    return Recording(stream.name, stream.truth, tuple(events), stream.length_s)


if __name__ == "__main__":
    main()
