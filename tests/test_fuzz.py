"""Damaged files give frames or a VideoError in one line: never another error, a crash or a hang."""

import logging
import random
import time

import pytest
from conftest import SYNTH

from ppsdk import VideoError, sample_clip

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


@pytest.mark.parametrize("seed", range(4))
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
        assert time.monotonic() - start < 20
        path.unlink()
    logging.getLogger("ppsdk").setLevel(logging.NOTSET)
    assert read > 50 and refused > 50
