"""Pictures to what the network sees. The only home of crop, resize, mean and std.

The rules are those that PP-TSMv2 was evaluated with (PaddleVideo, `augmentations.py`: Scale with
its default fixed_ratio, CenterCrop with its default do_round, then Normalization).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ppsdk.records import Image, Roi

# ImageNet statistics of RGB / 255 (PaddleVideo, pptsm_v2 configurations).
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

RESIZE_RULE = "fixed-4:3 pillow-bilinear center-crop"


def check_roi(roi: Roi | None) -> None:
    """Raise ValueError unless roi is None or (x0, y0, x1, y1), 0 <= x0 < x1 <= 1, same for y."""
    if roi is None:
        return
    try:
        x0, y0, x1, y1 = roi
        fits = bool(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"roi is {roi!r}: must be (x0, y0, x1, y1) in fractions of the picture, "
            "0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1"
        )


def cut_roi(image: Image, roi: Roi | None) -> Image:
    """(H, W, 3) -> the part of it that roi covers, rounded to whole pixels, at least one by one."""
    if roi is None:
        return image
    height, width = image.shape[:2]
    x0, x1 = _pixel_span(roi[0], roi[2], width)
    y0, y1 = _pixel_span(roi[1], roi[3], height)
    return image[y0:y1, x0:x1]


def crop_for_model(image: Image, *, image_size: int = 224, short_side: int = 256) -> Image:
    """uint8 (H, W, 3) of any size -> uint8 (image_size, image_size, 3), what the network sees."""
    return centre_crop(scale_for_model(image, short_side=short_side), image_size)


def view_of(
    height: int, width: int, *, roi: Roi | None, image_size: int = 224, short_side: int = 256
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of a picture of that size, what `cut_roi` and `crop_for_model` leave: where the middles of
    its columns and of its rows are, float64 (image_size,) each, in fractions of the whole picture.
    """
    x0, x1 = (0, width) if roi is None else _pixel_span(roi[0], roi[2], width)
    y0, y1 = (0, height) if roi is None else _pixel_span(roi[1], roi[3], height)
    across, down = _scaled_size(x1 - x0, y1 - y0, short_side)
    middles = np.arange(image_size) + 0.5
    xs = x0 + (middles + _offset(across, image_size)) * (x1 - x0) / across
    ys = y0 + (middles + _offset(down, image_size)) * (y1 - y0) / down
    return xs / width, ys / height


def centre_crop(image: Image, image_size: int) -> Image:
    """uint8 (H, W, 3), both sides image_size or more -> (image_size, image_size, 3)."""
    height, width = image.shape[:2]
    left, top = _offset(width, image_size), _offset(height, image_size)
    return np.ascontiguousarray(image[top : top + image_size, left : left + image_size])


def scale_for_model(image: Image, *, short_side: int = 256) -> Image:
    """uint8 (H, W, 3) -> the same stretched to 4:3 or 3:4, unless its short side fits already."""
    height, width = image.shape[:2]
    size = _scaled_size(width, height, short_side)
    if size == (width, height):
        return image
    # Pillow's bilinear is antialiased; cv2.INTER_LINEAR is not and moves the logits.
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize(size, PillowImage.Resampling.BILINEAR))


def normalize(
    crops: Image,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> NDArray[np.float32]:
    """uint8 (N, S, S, 3) -> float32 (N, 3, S, S): (RGB / 255 - mean) / std."""
    scaled = crops.astype(np.float32) / np.float32(255)
    scaled = (scaled - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """The size it is stretched to: 4:3 or 3:4, whatever the picture's own aspect, unless its short
    side fits already.
    """
    if min(width, height) == short_side:
        return width, height
    long_side = short_side * 4 // 3
    return (long_side, short_side) if width > height else (short_side, long_side)


def _offset(size: int, image_size: int) -> int:
    return round((size - image_size) / 2)


def _pixel_span(low: float, high: float, size: int) -> tuple[int, int]:
    start = min(round(low * size), size - 1)
    return start, max(round(high * size), start + 1)
