"""A camera that hangs may go on sending the same picture."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Sensors have noise: some of this many bytes differs between any two of their pictures.
_SAMPLES = 500_000


def checksum(rows: NDArray[Any]) -> int:
    """uint8 (H, bytes a row), or (H, W, channels), -> a number that is equal for equal pictures;
    of large pictures, whole rows are compared, evenly spread.
    """
    step = max(1, rows.size // _SAMPLES)
    return zlib.crc32(np.ascontiguousarray(rows[::step]).data)


class FrozenWatch:
    """Tells when a picture has stood still, to the byte, for frozen_s seconds, and when no more."""

    def __init__(self, frozen_s: float) -> None:
        self._frozen_s = frozen_s
        self._seen: int | None = None
        self._since_s = 0.0
        self.frozen = False

    def changed(self, seen: int, now_s: float) -> bool:
        """Whether `frozen` has changed with the picture that came at now_s."""
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
        was_frozen = self.frozen
        self.frozen = now_s - self._since_s >= self._frozen_s
        return self.frozen != was_frozen
