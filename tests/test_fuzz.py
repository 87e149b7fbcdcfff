"""Damaged files give frames or a VideoError in one line: never another error, a crash or a hang."""

import logging
import random
import time
from itertools import islice

import numpy as np
import pytest
from conftest import SYNTH

from ppsdk import VideoError, open_source, sample_clip
from ppsdk.stream import window_clips
from ppsdk.thinning import WindowGrid

FILES = sorted(path for path in SYNTH.iterdir() if 0 < path.stat().st_size < 60_000)


def damaged(data, rng):
    kind = rng.random()
    if kind < 0.4:
        return data[: rng.randrange(len(data))]
    if kind < 0.5:
        return rng.randbytes(rng.randrange(1, 5000))
    flipped = bytearray(data)
    for _ in range(rng.choice([1, 3, 10, 100])):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


@pytest.mark.parametrize("seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))])
def test_damaged_videos(seed, tmp_path):
    logging.getLogger("ppsdk").setLevel(logging.CRITICAL)
    rng = random.Random(seed)
    read = refused = 0
    for i in range(500):
        path = tmp_path / f"{i}"
        path.write_bytes(damaged(rng.choice(FILES).read_bytes(), rng))
        start = time.monotonic()
        try:
            clip = sample_clip(path, sampling=rng.choice(["full", "paddlevideo"]))
        except VideoError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            read += 1
            assert len(clip.images) == 16 and clip.end_s > 0
        assert time.monotonic() - start < 60
        path.unlink()
    logging.getLogger("ppsdk").setLevel(logging.NOTSET)
    assert read > 50 and refused > 50


@pytest.mark.parametrize("seed", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in (1, 2, 3))])
def test_damaged_videos_as_streams(seed, tmp_path):
    """Windows of what can be read: as many frames as are counted, none in two places, no hang."""
    logging.getLogger("ppsdk").setLevel(logging.CRITICAL)
    rng = random.Random(seed)
    read = refused = 0
    for i in range(500):
        path = tmp_path / f"{i}"
        path.write_bytes(damaged(rng.choice(FILES).read_bytes(), rng))
        grid = WindowGrid.from_seconds(rng.choice([0.2, 1.0, 5.0]), 0.5, 4)
        start = time.monotonic()
        try:
            with open_source(path) as source:
                ends = check_windows(source, grid)
        except VideoError as error:
            refused += 1
            assert "\n" not in str(error)
        else:
            read += 1
            assert ends
        assert time.monotonic() - start < 60
        path.unlink()
    logging.getLogger("ppsdk").setLevel(logging.NOTSET)
    assert read > 50 and refused > 50


def check_windows(source, grid):
    ends = []
    for clip in islice(window_clips(source, grid, lambda image: image[:1, :1]), 300):
        assert (np.diff(clip.pts_s) >= 0).all() and (np.diff(clip.frame_indices) >= 0).all()
        assert 0 <= clip.start_s < clip.end_s and clip.start_s <= clip.pts_s[0] + grid.length_s
        assert clip.frame_indices[-1] < source.counters.frames
        ends.append(clip.end_s)
    return ends
