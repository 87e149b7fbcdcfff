"""Turning stored pictures the way up that their display matrix asks for."""

from __future__ import annotations

import struct

import numpy as np

from ppsdk.records import Image

Matrix = tuple[int, int, int, int]


def parse_display_matrix(data: bytes) -> Matrix:
    """The 36 bytes of FFmpeg's display matrix -> (a, b, c, d) of x' = a x + c y, y' = b x + d y.

    Nine native 32-bit integers, row by row, 16.16 fixed point in the first two columns
    (FFmpeg, libavutil/display.h).
    """
    rows = struct.unpack("=9i", data[:36])
    return rows[0], rows[1], rows[3], rows[4]


def upright(image: Image, matrix: Matrix | None) -> Image:
    """Apply quarter turns and flips; any other angle is left alone, as players do."""
    if matrix is None:
        return image
    a, b, c, d = matrix
    if b == 0 and c == 0:
        flip_x, flip_y = a < 0, d < 0
    elif a == 0 and d == 0:
        image = image.transpose(1, 0, 2)
        flip_x, flip_y = c < 0, b < 0
    else:
        return image
    if flip_x:
        image = image[:, ::-1]
    if flip_y:
        image = image[::-1]
    return np.ascontiguousarray(image)
