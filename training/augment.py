"""What training sees of a clip: a random frame of each segment, a random crop, maybe mirrored."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ppsdk.records import Image
from training.cache import CachedClip
from training.recipe import Recipe


def draw_frames(clip: CachedClip, rng: np.random.Generator, *, even: bool) -> NDArray[np.int64]:
    """int64 (num_segments,): of one of its windows, the place of a frame of each segment; even: all
    at the same place of their segments, as far apart as inference has them.
    """
    candidates = clip.candidates[rng.integers(len(clip.candidates))]
    num_segments, count = candidates.shape
    drawn = rng.integers(0, count, 1 if even else num_segments)
    return candidates[np.arange(num_segments), drawn]


def multi_scale_crop(
    clip: Image, image_size: int, scales: tuple[float, ...], rng: np.random.Generator
) -> Image:
    """(num_segments, H, W, 3) -> (num_segments, S, S, 3): the same crop of every frame.

    Height and width are drawn from `scales` of the short side, at most one step apart, and put on
    one of the places of a 5 x 5 grid (TSN's rule; PaddleVideo, `augmentations.py`, MultiScaleCrop).
    """
    height, width = clip.shape[1:3]
    steps = [min(height, width) * scale for scale in scales]
    i = int(rng.integers(len(steps)))
    j = int(np.clip(i + rng.integers(-1, 2), 0, len(steps) - 1))
    crop_height, crop_width = round(steps[i]), round(steps[j])
    top = round((height - crop_height) * rng.integers(5) / 4)
    left = round((width - crop_width) * rng.integers(5) / 4)
    cut = clip[:, top : top + crop_height, left : left + crop_width]
    shrinks = crop_height > image_size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    size = (image_size, image_size)
    return np.stack([cv2.resize(frame, size, interpolation=interpolation) for frame in cut]).astype(
        np.uint8
    )


def recolour(crops: Image, strength: float, rng: np.random.Generator) -> Image:
    """uint8 (..., 3) -> the same under another light: each colour times 1 - strength to
    1 + strength, all of them together and the contrast around the middle grey as well.
    """
    gains = rng.uniform(1 - strength, 1 + strength, 3) * rng.uniform(1 - strength, 1 + strength)
    contrast = rng.uniform(1 - strength, 1 + strength)
    greys = np.arange(256)[:, None] * gains
    tables = np.clip((greys - 128) * contrast + 128, 0, 255).astype(np.uint8)
    return np.stack([tables[crops[..., i], i] for i in range(3)], -1)


def augment(
    clip: CachedClip, recipe: Recipe, rng: np.random.Generator
) -> tuple[Image, NDArray[np.int64]]:
    """uint8 (num_segments, S, S, 3), and what is done in each frame, -1 where nothing tells; other
    at each draw.
    """
    places = draw_frames(clip, rng, even=recipe.even_frames)
    crops = multi_scale_crop(clip.frames[places], clip.image_size, recipe.scales, rng)
    if recipe.flip and rng.random() < 0.5:
        crops = crops[:, :, ::-1]
    if recipe.colour_jitter:
        crops = recolour(crops, recipe.colour_jitter, rng)
    return np.ascontiguousarray(crops), clip.frame_labels[places]
