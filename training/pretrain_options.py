"""What `ppsdk pretrain` can be told, and what it tells of each epoch."""

from __future__ import annotations

from dataclasses import dataclass

from ppsdk.errors import ModelError


@dataclass(frozen=True)
class PretrainOptions:
    """frames: how many, spread over all videos. epochs: each shows another crop of all of them.
    batch_size: of frames; small ones make many steps of few frames. peak_rate: AdamW's learning
    rate for a batch of 64. bf16: autocast.
    """

    frames: int = 5000
    epochs: int = 12
    batch_size: int = 32
    peak_rate: float = 1.5e-3
    image_size: int = 112
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("frames", "epochs", "peak_rate"):
            if getattr(self, name) <= 0:
                raise ModelError(f"{name} is {getattr(self, name)}: must be more than 0")
        if self.seed < 0:
            raise ModelError(f"seed is {self.seed}: must be 0 or more")
        if self.batch_size < 2 or self.image_size < 32:
            raise ModelError("batch_size must be 2 or more, image_size 32 or more")


@dataclass(frozen=True)
class PretrainLog:
    """One row of pretrain-log.csv. loss: mean squared difference to the teacher's features, which
    have a mean square of about 1. explained: see `training.pretrain.Pretrained`.
    """

    epoch: int
    loss: float
    explained: float
    explained_held_out: float | None
