"""A scene in which nothing moves need not be computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ppsdk.records import Clip, Image

# Pixels a side: sensor noise cancels out within, a hand does not.
BLOCK = 8


class MotionGate:
    """Tells of each window of a stream whether it looks like the last one that was computed.

    It does where no block of 8 x 8 pixels, of those that the network sees, differs in brightness by
    still_below grey levels (0 to 255) or more between any two frames of both. So the scores of the
    one are those of the other, near enough: what was seen goes on in a scene that stands still,
    and a still window behind movement is computed itself, once. Light that changes slowly is a
    change, too, in the end. The first window with a moving frame has the still ones before it, as
    it would have without a gate.
    """

    def __init__(self, still_below: float) -> None:
        if not (isinstance(still_below, (int, float)) and 0 < still_below <= 255):
            raise ValueError(
                f"still_below is {still_below!r}: must be more than 0 grey levels, at most 255"
            )
        self._still_below = still_below
        self._seen: dict[int, NDArray[np.int16]] = {}  # by position in the stream
        self._computed: list[NDArray[np.int16]] = []  # darkest and brightest of the last one

    def is_still(self, clip: Clip) -> bool:
        """Where not, it is taken to be computed now."""
        known, self._seen = self._seen, {}
        for index, image in zip(clip.frame_indices.tolist(), clip.images, strict=True):
            if index not in self._seen:
                self._seen[index] = known[index] if index in known else _brightness(image)
        frames = np.stack(list(self._seen.values()))
        both = np.concatenate([frames, *self._computed])
        if self._computed and np.ptp(both, axis=0).max() < self._still_below:
            return True
        self._computed = [frames.min(0, keepdims=True), frames.max(0, keepdims=True)]
        return False


def _brightness(image: Image) -> NDArray[np.int16]:
    """uint8 (H, W, 3) -> (H / 8, W / 8), rounded up."""
    blocks = PillowImage.fromarray(image).convert("L").reduce(BLOCK)
    return np.asarray(blocks).astype(np.int16)
