"""Frames that the app already has."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from functools import partial

import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.protocol import OnStatus, Source


class ArraySource(Source):
    """An iterable of `Frame`, or of uint8 (H, W, 3) RGB arrays that follow each other at fps.

    It is iterated in the thread of whoever takes the frames: it may be bound to that one.
    """

    own_thread = False

    def __init__(
        self,
        frames: Iterable[Frame] | Iterable[Image],
        *,
        fps: float | None,
        on_status: OnStatus | None = None,
    ) -> None:
        super().__init__("frames", on_status)
        self._frames = frames
        self._fps = fps or 1.0

    def frames(self) -> Generator[Frame, None, None]:
        origin_s = given_s = 0.0
        interval_s = 1 / self._fps
        given_run = run = 0
        for index, item in enumerate(self._frames):
            frame = item if isinstance(item, Frame) else self._frame(item, index)
            step_s = frame.pts_s - given_s
            if index == 0:
                origin_s = frame.pts_s
            elif step_s == 0:
                raise VideoError(
                    f"{self.name}: frames {index - 1} and {index} are both at {given_s} s: "
                    "times must rise"
                )
            elif step_s < 0:
                # The app's clock was set back: times go on as they went before.
                origin_s += step_s - interval_s
                run += 1
                told = f"its clock goes back by {-step_s:.1f} s; times go on"
                self.report("jump", frame.pts_s - origin_s, told)
            else:
                interval_s = step_s
            run += frame.run != given_run
            given_s, given_run = frame.pts_s, frame.run
            self.counters.frames += 1
            yield Frame(partial(_image, frame), given_s - origin_s, run=run)
        if not self.counters.frames:
            raise VideoError(f"{self.name}: empty: at least one frame is needed")

    def _frame(self, item: object, index: int) -> Frame:
        try:
            # A copy: readers like OpenCV's fill the same buffer again.
            return Frame(np.array(item), index / self._fps)
        except ValueError as error:
            raise VideoError(f"{self.name}: item {index}: {error}") from None


def _image(frame: Frame) -> Image:
    return frame.image
