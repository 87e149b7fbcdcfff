"""A tiny action set that one frame cannot tell: a lamp that goes on, or off.

Each clip of one class is a clip of the other played backwards, but for its draws: every brightness
is as likely in both, and only the order of frames separates them.
"""

from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FRAMES = 128, 96, 16


def write_clip(path: Path, goes_on: bool, rng: np.random.Generator) -> None:
    ground = rng.integers(0, 60, 3)
    lamp = rng.integers(150, 256, 3)
    side = int(rng.integers(40, 70))
    top, left = rng.integers(0, HEIGHT - side), rng.integers(0, WIDTH - side)
    change = rng.uniform(0.35, 0.65)
    shares = 1 / (1 + np.exp(-12 * (np.arange(FRAMES) / (FRAMES - 1) - change)))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 2_000_000
        for share in shares if goes_on else shares[::-1]:
            image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
            image[:] = ground
            image[top : top + side, left : left + side] = share * lamp + (1 - share) * ground
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def write_set(folder: Path, clips_per_class: int, seed: int = 0) -> Path:
    """`folder`, with one folder a class."""
    rng = np.random.default_rng(seed)
    for label in ("lamp_off", "lamp_on"):
        (folder / label).mkdir(parents=True)
        for i in range(clips_per_class):
            write_clip(folder / label / f"{i:03d}.mp4", label == "lamp_on", rng)
    return folder
