"""Files read by decord, the reader of the reference: only where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.protocol import FrameTimes, OnStatus, Picture, VideoFile


class DecordFile(VideoFile):
    """decord applies the rotation itself. It counts and seeks by itself too, and is silently wrong
    on MPEG-TS, MPEG-PS, trimmed mp4, and AVI with B-frames: prefer decoder="auto" for those.
    """

    def __init__(self, path: str | os.PathLike[str], *, on_status: OnStatus | None = None) -> None:
        super().__init__(path, on_status=on_status)
        try:
            import decord
        except ImportError:
            raise VideoError(
                "decoder='decord' needs the package decord, which has no wheel for every machine: "
                "install it, or use decoder='auto'"
            ) from None
        self._decord = decord
        self._reader()

    def expected_times(self) -> FrameTimes | None:
        return None

    def pictures(self) -> Iterator[Picture]:
        reader = self._reader()
        for index, time_s in enumerate(self._times(reader)):
            yield Picture(float(time_s), partial(self._image, reader, index))

    def _times(self, reader: Any) -> NDArray[np.float64]:
        """From 0. decord gives times beyond all bounds for some AVI: the frame rate then tells."""
        try:
            starts_s = np.array(reader.get_frame_timestamp(range(len(reader))))[:, 0]
            rate = reader.get_avg_fps()
        except (self._decord.DECORDError, RuntimeError, IndexError) as error:
            raise self._error(error) from None
        times_s = starts_s.astype(np.float64) - float(starts_s[0])
        if (np.diff(times_s) > 0).all() and times_s[-1] < 2 * len(times_s) / rate + 1:
            return times_s
        return np.arange(len(times_s)) / rate

    def _reader(self) -> Any:
        try:
            return self._decord.VideoReader(str(self.path))
        except (self._decord.DECORDError, RuntimeError) as error:
            raise self._error(error) from None

    def _image(self, reader: Any, index: int) -> Image:
        try:
            image: Image = reader[index].asnumpy()
        except (self._decord.DECORDError, RuntimeError, IndexError) as error:
            raise self._error(error) from None
        if image.ndim != 3 or image.shape[2] != 3:
            raise VideoError(
                f"{self.name}: decord gives pictures of shape {image.shape}, not (H, W, 3); "
                "use decoder='auto'"
            )
        return image

    def _error(self, error: Exception) -> VideoError:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return VideoError(f"{self.name}: decord cannot read it ({lines[0] if lines else error!r})")
