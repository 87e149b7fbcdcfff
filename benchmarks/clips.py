"""What clips of events cost: python benchmarks/clips.py [VIDEO] [--seconds N]

A rendered scene with grain, or VIDEO, at 1280x720 and 1920x1080. First what keeping a frame takes
(conversion to RGB, shrinking, JPEG), and what writing one into a film does: means. Then reading the
video alone, with a tap that keeps at most 15 frames a second, and with an event that lasts as long
as the video: medians of rounds in turns, as a share of a core where the video is a camera's. All
are processor time, of all threads: other work on the machine does not count. Last, memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from machine import machine_line

from ppsdk.demo.film import write_video
from ppsdk.demo.render import FPS, Scene
from ppsdk.records import ActionEvent, EndedBy, Image, Phase
from ppsdk.sinks.clips import ClipOptions, EventClips
from ppsdk.sinks.clips.ring import as_jpeg
from ppsdk.sinks.clips.video import ClipVideo, from_jpeg
from ppsdk.sources import open_source

Item = TypeVar("Item")
ROUNDS = 3
SIZES = ((1280, 720), (1920, 1080))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "video", type=Path, nargs="?", help="filmed material; rendered unless given"
    )
    parser.add_argument("--seconds", type=int, default=10)
    args = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            video = Path(folder) / f"{size[1]}.mp4"
            write_video(_images(args.video, args.seconds, size), video, fps=FPS)
            print(f"{size[0]}x{size[1]}, {args.seconds} s at {FPS} frames a second")
            tell_frames(video, Path(folder))
            tell_reading(video, Path(folder))
        tell_memory(video, Path(folder))


def tell_frames(video: Path, folder: Path) -> None:
    options = ClipOptions()
    times: dict[str, list[float]] = {"to RGB": [], "to JPEG": [], "from JPEG": [], "film": []}
    film: ClipVideo | None = None
    kept_bytes = 0
    with open_source(video) as source:
        for frame in source.frames():
            image = _timed(times["to RGB"], lambda: frame.image)
            jpeg = _timed(times["to JPEG"], lambda: as_jpeg(image, options))
            small = _timed(times["from JPEG"], lambda: from_jpeg(jpeg))
            kept_bytes += len(jpeg)
            if film is None:
                size = small.shape[1], small.shape[0]
                film = ClipVideo(folder / "film.mp4", size=size, fps=FPS)
            add = film.add
            _timed(times["film"], lambda: add(small, frame.pts_s))
    if film is None:
        raise SystemExit(f"{video}: no frames")
    film.close()
    for name, seen in times.items():
        print(f"  {name:9} {1000 * statistics.mean(seen):6.1f} ms a frame")
    count = len(times["to JPEG"])
    film_bytes = (folder / "film.mp4").stat().st_size
    kept_kb, film_kb = kept_bytes / count / 1000, film_bytes / count / 1000
    print(f"  a frame is {kept_kb:.0f} kB in memory, {film_kb:.0f} kB in a film")


def tell_reading(video: Path, folder: Path) -> None:
    times: dict[str, list[float]] = {"alone": [], "with a tap": [], "with an event": []}
    for _ in range(ROUNDS):
        for name, seen in times.items():
            with open_source(video) as source, EventClips(folder / "clips", close_s=60) as clips:
                start_s = time.process_time()
                frames = source.frames()
                if name != "alone":
                    frames = clips.tap("camera", frames, live=False)
                for frame in frames:
                    if name == "with an event" and frame.pts_s == 0:
                        clips(_event("start", 0.1))
                if name == "with an event":
                    clips(_event("end", frame.pts_s))
                clips.close()
                seen.append((time.process_time() - start_s) / frame.pts_s)
    for name, seen in times.items():
        print(f"  read {name:14} {100 * statistics.median(seen):5.1f} % of a core")


def tell_memory(video: Path, folder: Path) -> None:
    """Of eight cameras whose events last as long as the video."""
    for _ in zip(*(open_source(video).frames() for _ in range(8)), strict=True):
        pass
    before_mb = _most_mb()
    with EventClips(folder / "clips") as clips:
        streams = []
        for number in range(8):
            name = f"camera-{number}"
            streams.append(clips.tap(name, open_source(video).frames(), live=True))
            next(streams[-1])
            clips(_event("start", 0.1, source=name))
        for frames in zip(*streams, strict=True):
            del frames
        ring_mb = clips.kept_bytes / 1e6
        used_mb = _most_mb() - before_mb
    print(f"eight cameras, an event each: {used_mb:.0f} MB more, of which {ring_mb:.0f} for JPEGs")


def _event(phase: Phase, end_s: float, *, source: str = "camera") -> ActionEvent:
    ended_by: EndedBy | None = "over" if phase == "end" else None
    return ActionEvent(source, "lift", 0, 0.9, 0.0, end_s, source, phase=phase, ended_by=ended_by)


def _images(video: Path | None, seconds: int, size: tuple[int, int]) -> Iterator[Image]:
    count = seconds * FPS
    if video is None:
        scene = Scene.from_seed("demo", 0, float(seconds))
        images = (scene.image(i / FPS) for i in range(count))
    else:
        images = (
            frame.image for frame, _ in zip(open_source(video).frames(), range(count), strict=False)
        )
    grain = np.random.default_rng(0).integers(-4, 5, (size[1], size[0], 3), np.int8)
    for i, image in enumerate(images):
        large = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
        yield (large + np.roll(grain, 7 * i, 1)).clip(0, 255).astype(np.uint8)


def _timed(seen: list[float], what: Callable[[], Item]) -> Item:
    start_s = time.process_time()
    result = what()
    seen.append(time.process_time() - start_s)
    return result


def _most_mb() -> float:
    """Resident at most so far (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
