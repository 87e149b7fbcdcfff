"""Pictures become what PP-TSMv2 was evaluated on: sizes and offsets are checked by hand."""

import numpy as np
import pytest
from PIL import Image

from ppsdk.preprocess import crop_for_model, cut_roi, normalize


def noise(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "resized", "offset"),
    [
        ((640, 480), (341, 256), (58, 16)),  # (341 - 224) / 2 = 58.5 rounds to even
        ((1920, 1080), (341, 256), (58, 16)),  # 16:9 is squeezed into 4:3
        ((480, 640), (256, 341), (16, 58)),
        ((300, 300), (256, 341), (16, 58)),  # a square counts as portrait
        ((100, 75), (341, 256), (58, 16)),
        ((340, 256), None, (58, 16)),  # a short side of 256 is not resized at all
        ((455, 256), None, (116, 16)),  # 115.5 rounds to 116
        ((256, 256), None, (16, 16)),
        ((256, 2000), None, (16, 888)),
    ],
)
def test_resize_and_crop(size, resized, offset):
    image = noise(*size)
    whole = Image.fromarray(image)
    if resized:
        whole = whole.resize(resized, Image.Resampling.BILINEAR)
    left, top = offset
    told = np.asarray(whole.crop((left, top, left + 224, top + 224)))
    assert np.array_equal(crop_for_model(image), told)


def test_another_model_size_scales_the_short_side():
    assert crop_for_model(noise(640, 480), image_size=112, short_side=128).shape == (112, 112, 3)


def test_normalize_by_hand():
    crops = np.zeros((1, 2, 2, 3), np.uint8)
    crops[0, 0, 1] = (255, 51, 102)
    seen = normalize(crops)
    assert seen.shape == (1, 3, 2, 2) and seen.dtype == np.float32
    told = [(1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.4 - 0.406) / 0.225]
    assert seen[0, :, 0, 1] == pytest.approx(told, abs=1e-6)
    assert seen[0, :, 1, 1] == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_roi_in_fractions():
    image = noise(100, 50)
    assert np.array_equal(cut_roi(image, (0.1, 0.2, 0.5, 1.0)), image[10:50, 10:50])
    assert cut_roi(image, (0.999, 0.999, 1, 1)).shape == (1, 1, 3)
    assert cut_roi(image, None) is image
