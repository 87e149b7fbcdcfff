"""A checkpoint with seeded, untrained weights, for tests and for `ppsdk selftest`.

The draws, in their order, are those of the generator whose checkpoints PaddleVideo itself was run
on, so its golden logits apply to these too. Activations keep a sane scale and every batch norm is
far from the identity: a wrong fusion, a missing scale or a mirrored shift changes the logits.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from converters.architecture import FEATURES, Block, blocks
from converters.checkpoint import NAME_TABLE


class _Draws:
    """Arrays by name, drawn one after the other."""

    def __init__(self, seed: int) -> None:
        self.arrays: dict[str, NDArray[np.float32]] = {}
        self._rng = np.random.RandomState(seed)

    def normal(self, name: str, shape: tuple[int, ...], fan_in: int) -> None:
        values = self._rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        self.arrays[name] = values.astype(np.float32)

    def uniform(self, name: str, low: float, high: float, shape: int | tuple[int, ...]) -> None:
        self.arrays[name] = self._rng.uniform(low, high, shape).astype(np.float32)

    def conv_bn(self, name: str, c_in_per_group: int, c_out: int, kernel: int) -> None:
        shape = (c_out, c_in_per_group, kernel, kernel)
        self.normal(f"{name}.conv.weight", shape, c_in_per_group * kernel * kernel)
        self.uniform(f"{name}.bn.weight", 0.5, 1.5, c_out)
        self.uniform(f"{name}.bn.bias", -0.3, 0.5, c_out)
        self.uniform(f"{name}.bn._mean", -0.3, 0.3, c_out)
        self.uniform(f"{name}.bn._variance", 0.6, 2.0, c_out)

    def block(self, block: Block) -> None:
        name, c_in, kernel = block.name, block.c_in, block.kernel
        for i, size in enumerate(block.branches):
            self.conv_bn(f"{name}.dw_conv_list.{i}", 1, c_in, size)
        if block.branches:
            # There in real checkpoints, and not used: the branches are.
            self.normal(f"{name}.dw_conv.weight", (c_in, 1, kernel, kernel), kernel * kernel)
            self.arrays[f"{name}.dw_conv.bias"] = np.zeros(c_in, np.float32)
        else:
            self.conv_bn(f"{name}.dw_conv", 1, c_in, kernel)
        if block.squeeze:
            self.normal(f"{name}.se.conv1.weight", (c_in // 4, c_in, 1, 1), c_in)
            self.uniform(f"{name}.se.conv1.bias", -0.1, 0.1, c_in // 4)
            self.normal(f"{name}.se.conv2.weight", (c_in, c_in // 4, 1, 1), c_in // 4)
            self.uniform(f"{name}.se.conv2.bias", -0.1, 0.1, c_in)
        for pointwise, channels_in, channels_out in block.pointwise:
            self.conv_bn(pointwise, channels_in, channels_out, 1)


def seeded_weights(
    seed: int, *, num_segments: int = 16, num_classes: int = 400, lta: bool = True
) -> dict[str, NDArray[np.float32]]:
    """The arrays of a PP-TSMv2 in training form, by name, without a prefix."""
    draws = _Draws(seed)
    draws.conv_bn("stem.0", 3, 32, 3)
    for block in blocks():
        draws.block(block)
    draws.normal("last_conv.weight", (FEATURES, 1024, 1, 1), 1024)
    draws.normal("fc.weight", (FEATURES, num_classes), FEATURES)
    draws.uniform("fc.bias", -0.1, 0.1, num_classes)
    if lta:
        draws.uniform("global_attention.fc.weight", -1, 1, (num_segments, num_segments))
        draws.uniform("global_attention.fc.bias", -0.5, 0.5, num_segments)
    return draws.arrays


def write_pdparams(path: Path, arrays: dict[str, NDArray[np.float32]], *, prefix: str = "") -> None:
    """Write the arrays as `paddle.save` does, with its table of names."""
    content: dict[str, object] = {prefix + name: array for name, array in arrays.items()}
    content[NAME_TABLE] = {name: name for name in content}
    path.write_bytes(pickle.dumps(content, protocol=4))


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=1, show_default=True)
@click.option("--num-segments", default=16, show_default=True)
@click.option("--classes", default=400, show_default=True)
@click.option("--lta/--no-lta", default=True, show_default=True)
@click.option("--prefix", default="backbone.", show_default=True)
def main(out: Path, seed: int, num_segments: int, classes: int, lta: bool, prefix: str) -> None:
    """Write a .pdparams with seeded, untrained weights to OUT."""
    arrays = seeded_weights(seed, num_segments=num_segments, num_classes=classes, lta=lta)
    write_pdparams(out, arrays, prefix=prefix)


if __name__ == "__main__":
    main()
