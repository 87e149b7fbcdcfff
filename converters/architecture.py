"""The shape of PP-TSMv2: which layers there are, and which arrays a checkpoint must hold.

Source: PaddleVideo, `paddlevideo/modeling/backbones/pptsm_v2.py` (NET_CONFIG, depths 2-2-6-2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

EPSILON = 1e-5  # of every batch norm: Paddle's default
DROPOUT_SCALE = 0.8  # Paddle's downscale_in_infer with p = 0.2: features x 0.8 at inference
FEATURES = 1280

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """A depthwise-separable block. `branches` are the kernels of its parallel depthwise
    convolutions in training form, none where the block has a single one with batch norm.
    """

    name: str
    stage: int  # 0 is the stem
    c_in: int
    c_out: int
    kernel: int
    stride: int
    branches: tuple[int, ...]
    squeeze: bool
    split: bool
    shortcut: bool

    @property
    def pointwise(self) -> tuple[tuple[str, int, int], ...]:
        """(name, channels in, channels out) of its 1x1 convolutions."""
        if not self.split:
            return ((f"{self.name}.pw_conv", self.c_in, self.c_out),)
        half = self.c_out // 2
        return (
            (f"{self.name}.pw_conv_1", self.c_in, half),
            (f"{self.name}.pw_conv_2", half, self.c_out),
        )


@dataclass(frozen=True)
class Architecture:
    """What differs between two PP-TSMv2: shift_stages are those with a temporal shift before them,
    1 to 4; has_lta tells of the light temporal attention, before stage 3.
    """

    num_segments: int
    num_classes: int
    has_lta: bool
    shift_stages: tuple[int, ...] = (3,)
    image_size: int = 224


LTA_STAGE = 3


def blocks() -> Iterator[Block]:
    """All blocks from the input on; the first convolution, `stem.0`, stands before them."""
    yield Block("stem.1", 0, 32, 64, 3, 1, (), False, False, False)
    stages = (
        # c_in, kernel, split, reparameterized, squeeze, shortcut, depth
        (64, 3, False, False, False, False, 2),
        (128, 3, False, False, False, False, 2),
        (256, 5, True, True, True, False, 6),
        (512, 5, False, True, False, True, 2),
    )
    for stage, (c_first, kernel, split, rep, squeeze, shortcut, depth) in enumerate(stages):
        for i in range(depth):
            c_in = c_first if i == 0 else 2 * c_first
            yield Block(
                name=f"stages.{stage}.{i}",
                stage=stage + 1,
                c_in=c_in,
                c_out=2 * c_first,
                kernel=kernel,
                stride=2 if i == 0 else 1,
                branches=((5, 3) if i == 0 else (5, 3, 1)) if rep else (),
                squeeze=squeeze,
                split=split,
                shortcut=shortcut and i > 0,
            )


def block_starts(stage: int) -> str:
    """The name of the first block of a stage."""
    return f"stages.{stage - 1}.0"


def branch_shapes(block: Block) -> dict[str, Shape]:
    """Arrays of the parallel depthwise branches, as they are trained."""
    shapes: dict[str, Shape] = {}
    for i, kernel in enumerate(block.branches):
        shapes |= _conv_bn(f"{block.name}.dw_conv_list.{i}", block.c_in, 1, kernel)
    return shapes


def merged_shapes(block: Block) -> dict[str, Shape]:
    """Arrays of the one convolution that the branches merge into. Training checkpoints have it
    beside the branches, holding whatever it was initialised with.
    """
    return {
        f"{block.name}.dw_conv.weight": (block.c_in, 1, block.kernel, block.kernel),
        f"{block.name}.dw_conv.bias": (block.c_in,),
    }


def other_shapes(architecture: Architecture) -> dict[str, Shape]:
    """Every array but those of reparameterized depthwise convolutions."""
    shapes = _conv_bn("stem.0", 32, 3, 3)
    for block in blocks():
        if not block.branches:
            shapes |= _conv_bn(f"{block.name}.dw_conv", block.c_in, 1, block.kernel)
        if block.squeeze:
            quarter = block.c_in // 4
            shapes[f"{block.name}.se.conv1.weight"] = (quarter, block.c_in, 1, 1)
            shapes[f"{block.name}.se.conv1.bias"] = (quarter,)
            shapes[f"{block.name}.se.conv2.weight"] = (block.c_in, quarter, 1, 1)
            shapes[f"{block.name}.se.conv2.bias"] = (block.c_in,)
        for name, c_in, c_out in block.pointwise:
            shapes |= _conv_bn(name, c_out, c_in, 1)
    shapes["last_conv.weight"] = (FEATURES, 1024, 1, 1)
    shapes["fc.weight"] = (FEATURES, architecture.num_classes)  # Paddle's Linear: (in, out)
    shapes["fc.bias"] = (architecture.num_classes,)
    if architecture.has_lta:
        segments = architecture.num_segments
        shapes["global_attention.fc.weight"] = (segments, segments)
        shapes["global_attention.fc.bias"] = (segments,)
    return shapes


def _conv_bn(name: str, c_out: int, c_in_per_group: int, kernel: int) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {f"{name}.conv.weight": (c_out, c_in_per_group, kernel, kernel)}
    for part in ("weight", "bias", "_mean", "_variance"):
        shapes[f"{name}.bn.{part}"] = (c_out,)
    return shapes
