"""Frames to an mp4 that browsers play."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ppsdk.demo.render import FPS, Scene
from ppsdk.records import Image

Progress = Callable[[Iterable[Any], str], Iterable[Any]]

# x264's quality: 18 cannot be told from the original, 32 shows blocks.
GOOD, POOR = 18, 32


def write_video(images: Iterable[Image], path: Path, *, fps: int, quality: int = 23) -> None:
    """Images: uint8 (H, W, 3) RGB, even sides, all alike. quality: x264's CRF.

    The file appears when it is whole.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.touch()  # its errors name the file, those of FFmpeg do not
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as out:
            stream = out.add_stream("libx264", rate=fps)
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "veryfast", "crf": str(quality)}
            for i, image in enumerate(images):
                if i == 0:
                    stream.height, stream.width = image.shape[:2]
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, fps)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def film_scene(
    scene: Scene, file: Path, progress: Progress = lambda items, label: items, quality: int = 23
) -> None:
    times = progress([i / FPS for i in range(round(scene.length_s * FPS))], "rendering")
    write_video((scene.image(t) for t in times), file, fps=FPS, quality=quality)
