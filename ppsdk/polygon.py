"""What lies outside a polygon is hidden from the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import VideoError
from ppsdk.records import Image, Polygon

Positions = NDArray[np.float64]
Bools = NDArray[np.bool_]


def check_polygon(polygon: Polygon | None) -> None:
    """Raise ValueError unless polygon is None or three points or more, (x, y), each 0 to 1."""
    if polygon is None:
        return
    try:
        points = np.array(polygon, np.float64)
        fits = points.ndim == 2 and points.shape[1] == 2 and len(points) >= 3
        fits = fits and bool(((points >= 0) & (points <= 1)).all())
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(
            f"polygon is {polygon!r}: must be three points (x, y) or more, in fractions of the "
            "picture, 0 to 1"
        )


def inside(polygon: Polygon, xs: Positions, ys: Positions) -> Bools:
    """bool (len(ys), len(xs)): which points of that grid the polygon has in it, by the even-odd
    rule: a ray to the right of them crosses its edges an odd number of times.
    """
    odd = np.zeros((len(ys), len(xs)), np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        rows = (y0 > ys) != (y1 > ys)
        crossing = x0 + (ys[rows] - y0) * (x1 - x0) / (y1 - y0 if y1 != y0 else 1.0)
        odd[rows] ^= xs[None] < crossing[:, None]
    return odd


class PolygonMask:
    """Paints what lies outside of a polygon, in pictures as the network sees them.

    view: (height, width) of a whole picture -> where in it the columns and rows of such a picture
    are, fractions. colour: RGB, 0 to 255. The middle of a pixel decides.
    """

    def __init__(
        self,
        polygon: Polygon,
        view: Callable[[int, int], tuple[Positions, Positions]],
        *,
        colour: Sequence[float],
    ) -> None:
        check_polygon(polygon)
        self._polygon, self._view = polygon, view
        self._colour = np.array(colour, np.float64).round().astype(np.uint8)
        self._size: tuple[int, int] | None = None

    def paint(self, crop: Image, *, height: int, width: int) -> Image:
        """crop: uint8 (S, S, 3), of a picture of that size. Raises VideoError where the polygon has
        no pixel of it.
        """
        if self._size != (height, width):
            self._shown = inside(self._polygon, *self._view(height, width))[..., None]
            self._size = height, width
        if not self._shown.any():
            raise VideoError(
                f"the polygon shows nothing of what the network sees of {width} x {height}"
            )
        return np.where(self._shown, crop, self._colour)
