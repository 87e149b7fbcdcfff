"""Folding batch norms and branches, by hand and against plain arithmetic."""

import numpy as np
import pytest

from converters.fuse import fuse_conv_bn, merge_branches


def test_fuse_conv_bn_by_hand():
    kernel = np.array([[[[3.0]]], [[[4.0]]]])
    fused, bias = fuse_conv_bn(
        kernel,
        gamma=np.array([2.0, 1.0]),
        beta=np.array([0.5, 0.0]),
        mean=np.array([1.0, -2.0]),
        variance=np.array([3.75, 0.75]),
        epsilon=0.25,
    )
    # sqrt(3.75 + .25) = 2, so 3 * 2 / 2 = 3 and .5 - 1 * 2 / 2; sqrt(.75 + .25) = 1.
    assert fused.ravel().tolist() == [3.0, 4.0]
    assert bias.tolist() == [-0.5, 2.0]


def test_merge_branches_by_hand():
    five = np.ones((1, 1, 5, 5))
    three = np.arange(9.0).reshape(1, 1, 3, 3)
    one = np.full((1, 1, 1, 1), 100.0)
    biases = (np.array([1.0]), np.array([2.0]), np.array([4.0]))
    kernel, bias = merge_branches(list(zip((five, three, one), biases, strict=True)), 5)
    told = np.array(
        [
            [1, 1, 1, 1, 1],
            [1, 1, 2, 3, 1],
            [1, 4, 105, 6, 1],
            [1, 7, 8, 9, 1],
            [1, 1, 1, 1, 1],
        ]
    )
    assert np.array_equal(kernel[0, 0], told)
    assert bias == pytest.approx([7.0])
