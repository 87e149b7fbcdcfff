"""Streams of numbered frames, what is told of them, and the clips that come of that."""

import json

import av
from barcode import make_frame, read

from ppsdk import ActionEvent, Frame
from ppsdk.sinks.clips import ClipOptions


def told(phase, start_s, end_s, *, id="a", score=0.9, source="door", label="fall", **others):
    sequence = 0 if phase == "start" else 9
    return ActionEvent(
        id, label, 4, score, start_s, end_s, source, phase=phase, sequence=sequence, **others
    )


def event(start_s, end_s, *, late_s=1.0, **others):
    """What is told of an event, and when, in seconds of the stream."""
    first = told("start", start_s, start_s + 0.1, **others)
    return [(start_s + late_s, first), (end_s + late_s, told("end", start_s, end_s, **others))]


def film(count, *, fps=10.0, first=0, width=64, height=48):
    for i in range(first, first + count):
        yield Frame(make_frame(i, width, height), (i - first) / fps)


def play(clips, frames, events=(), *, name="door", live=False):
    """A stream with its events, each told as soon as a frame of its time has been read; those that
    are later, when the stream has ended.
    """
    waiting = sorted(events, key=lambda each: each[0])
    for frame in clips.tap(name, iter(frames), live=live):
        while waiting and waiting[0][0] <= frame.pts_s:
            clips(waiting.pop(0)[1])
    for _, each in waiting:
        clips(each)


def options(**others):
    return ClipOptions(**{"pre_s": 1.0, "post_s": 2.0, **others})


def seen(path):
    """The numbers and times of the frames of an mp4."""
    with av.open(f"file:{path}") as container:
        frames = [
            (read(frame.to_ndarray(format="rgb24")).index, frame.time)
            for frame in container.decode(video=0)
        ]
    return [index for index, _ in frames], [time_s for _, time_s in frames]


def made(folder):
    """The clips, the oldest first: paths of the mp4s, and their records."""
    records = sorted(folder.glob("*/*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [(file.with_suffix(".mp4"), json.loads(file.read_text())) for file in records]


def nothing_else(folder):
    """Each clip has its three files, and there is nothing half-written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".ppsdk-clips"]
    stems = {path.with_suffix("") for path, _ in made(folder)}
    endings = (".mp4", ".jpg", ".json")
    return sorted(files) == sorted(
        stem.with_name(stem.name + ending) for stem in stems for ending in endings
    )
