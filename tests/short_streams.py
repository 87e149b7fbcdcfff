"""Short windows, and what is cut into them, for tests of several streams."""

import threading

import numpy as np
from waiting import wait_for

from ppsdk import Frame, LiveOptions
from ppsdk.records import Clip
from ppsdk.stream import window_clips
from ppsdk.thinning import WindowGrid

QUICK = LiveOptions(open_timeout_s=1.0, read_timeout_s=1.0)
SPAN = {"length_s": 0.8, "stride_s": 0.4}  # 8 segments of 0.1 s, 4 of them between windows


def pictures(count, *, moving_from=None, fps=10.0):
    """Grey with noise of one level; from a frame on, a square of 16 x 16 in 112 x 112 moves."""
    rng = np.random.default_rng(3)
    for i in range(count):
        image = rng.integers(100, 102, (112, 112, 3)).astype(np.uint8)
        if moving_from is not None and i >= moving_from:
            x = 4 * (i - moving_from) % 90
            image[40:56, x : x + 16] = 220
        yield Frame(image, i / fps)


def alone(recognizer, source, **options):
    return list(recognizer.windows(source, **SPAN, **options))


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "ppsdk reader"]


def no_readers_left():
    wait_for(lambda: not readers())
    return True


def clips_of(source, length_s, stride_s, num_segments=8):
    """With the whole pictures as images: barcodes stay readable."""
    grid = WindowGrid.from_seconds(length_s, stride_s, num_segments)
    clips = window_clips(source, grid, lambda image: image)
    return (clip for clip in clips if isinstance(clip, Clip))
