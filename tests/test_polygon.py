"""What lies outside of a polygon: which pixels those are is worked out by hand."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk.errors import VideoError
from ppsdk.polygon import PolygonMask, check_polygon, inside
from ppsdk.preprocess import crop_for_model, cut_roi, view_of

TRIANGLE = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
EIGHTHS = np.array([0.125, 0.375, 0.625, 0.875])


def drawn(polygon):
    shown = inside(polygon, EIGHTHS, EIGHTHS)
    return ["".join("#" if pixel else "." for pixel in row) for row in shown]


def test_the_middle_of_a_pixel_decides():
    """The pixels on the diagonal have their middle on it, where x + y = 1: they are outside."""
    assert drawn(TRIANGLE) == ["###.", "##..", "#...", "...."]
    assert drawn(TRIANGLE[::-1]) == drawn(TRIANGLE), "whichever way round"


def test_a_polygon_may_have_a_notch():
    """A square from 0 to 1 with a notch from above, x from 0.25 to 0.75, down to 0.5."""
    notch = [(0, 0), (0.25, 0), (0.25, 0.5), (0.75, 0.5), (0.75, 0), (1, 0), (1, 1), (0, 1)]
    assert drawn(notch) == ["#..#", "#..#", "####", "####"]


def test_columns_and_rows_are_where_cropping_and_scaling_put_them():
    """640 x 480 is scaled to 341 x 256, of which the network sees 224 from (58, 16) on; its right
    half, 320 x 480, to 256 x 341, of which it sees 224 from (16, 58) on.
    """
    xs, ys = view_of(480, 640, roi=None)
    assert (len(xs), len(ys)) == (224, 224)
    assert (xs[0], ys[0]) == pytest.approx((58.5 / 341, 16.5 / 256))
    xs, ys = view_of(480, 640, roi=(0.5, 0, 1, 1))
    assert (xs[0], ys[0]) == pytest.approx((0.5 + 16.5 / 256 / 2, 58.5 / 341))
    xs, ys = view_of(256, 340, roi=None)  # is not scaled
    assert (xs[0], ys[-1]) == pytest.approx((58.5 / 340, 239.5 / 256))


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (256, 340), (200, 1000)])
@pytest.mark.parametrize("roi", [None, (0.2, 0.1, 0.7, 0.9)])
def test_positions_are_those_of_the_pixels_that_the_network_sees(size, roi):
    """Red grows from left to right and green from top to bottom."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = (255 * (np.arange(width) + 0.5) / width).round()
    image[..., 1] = (255 * (np.arange(height) + 0.5) / height).round()[:, None]
    crop = crop_for_model(cut_roi(image, roi))
    xs, ys = view_of(height, width, roi=roi)
    # Two levels: one of rounding twice, one of a picture's edge, where nothing is left to average.
    assert np.abs(crop[..., 0] - 255 * xs).max() <= 2
    assert np.abs(crop[..., 1] - 255 * ys[:, None]).max() <= 2


@settings(deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 16).map(lambda n: n / 16)] * 2), min_size=3, max_size=7),
    st.tuples(*[st.integers(0, 15).map(lambda n: (n + 0.5) / 16)] * 2),
)
def test_turning_or_mirroring_both_changes_nothing(polygon, point):
    x, y = point
    is_inside = inside(polygon, np.array([x]), np.array([y]))[0, 0]
    first = polygon[1:] + polygon[:1]
    assert inside(first, np.array([x]), np.array([y]))[0, 0] == is_inside
    upside_down = [(x, 1 - y) for x, y in polygon]
    is_off_edges = not _is_on_edge(polygon, point)
    if is_off_edges:
        assert inside(upside_down, np.array([x]), np.array([1 - y]))[0, 0] == is_inside


def _is_on_edge(polygon, point):
    x, y = point
    for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if (x - x0) * (y1 - y0) == (y - y0) * (x1 - x0) and min(x0, x1) <= x <= max(x0, x1):
            return True
    return False


def test_what_is_outside_has_the_mean_colour():
    """2 x 2 pixels with their middles at 0.25 and 0.75, of which the triangle has the first."""
    grid = np.array([0.25, 0.75])
    mask = PolygonMask(TRIANGLE, lambda height, width: (grid, grid), colour=(123.7, 116.3, 103.4))
    crop = np.full((2, 2, 3), 7, np.uint8)
    painted = mask.paint(crop, height=480, width=640)
    assert painted.tolist() == [[[7] * 3, [124, 116, 103]], [[124, 116, 103]] * 2]
    assert painted.dtype == np.uint8 and (crop == 7).all(), "the picture itself stays"


def test_a_polygon_beside_what_the_network_sees_is_an_error():
    left = [(0, 0), (0.1, 0), (0.1, 1), (0, 1)]  # what is seen begins at 58 / 341
    mask = PolygonMask(left, partial(view_of, roi=None), colour=(0, 0, 0))
    with pytest.raises(VideoError, match="shows nothing of what the network sees of 640 x 480"):
        mask.paint(np.zeros((224, 224, 3), np.uint8), height=480, width=640)


@pytest.mark.parametrize("polygon", [[(0, 0), (1, 1)], [(0, 0), (1, 0), (2, 1)], [0, 1, 2], "abc"])
def test_what_is_no_polygon_is_refused(polygon):
    with pytest.raises(ValueError, match=r"must be three points \(x, y\) or more"):
        check_polygon(polygon)
