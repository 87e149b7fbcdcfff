"""How to train: the paper's recipe as defaults, and a JSON file for one's own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ppsdk.errors import ModelError
from ppsdk.result_files import write_whole

RECIPE_FILE = "recipe.json"


@dataclass(frozen=True)
class Recipe:
    """epochs, batch_size: of clips. peak_rate: the learning rate that a batch of 16 warms up to; it
    is scaled by batch_size / 16. warmup_epochs: of a linear rise, then a half cosine down.
    optimizer: "sgd" as published, or "adamw" for training from nothing. frame_loss: how much what
    is done in each frame counts beside what is done in the window, for intervals of recordings.
    weight_decay: L2, not for batch norms. label_smoothing: 0 to 1. videomix_alpha: 0 is off.
    scales: of the short side, for the multi-scale crop. flip: mirror half of the clips; not for
    actions that have a side. even_frames: frames are drawn at the same place of all segments, for
    actions that differ by how fast something moves. colour_jitter: 0 to 1, how far brightness,
    contrast and each colour are changed at most, alike in all frames of a clip. ema_decay: of a
    running mean of the weights, 0 is off. bf16: autocast. dml: learn together with a second network
    of the same kind ("self"), or another one ("peer"). frozen_stages: the stem and so many stages
    stay as they are, which is quicker, and keeps what few clips would spoil. motion_first: begin
    with channels that tell how much moves, for weights that learned from single frames
    (`motion.py`). head_first: begin with the best linear classifier on what the network sees before
    it learns (`head.py`). frozen_norms: batch norms keep the statistics that they come with, for
    batches of a few clips, whose frames resemble each other. num_segments, lta, shift_stages,
    image_size: the network's. length_s, stride_s: the window that the model is meant for.
    background: the class of what no interval of a recording covers, "" for none. seed: of
    everything.
    """

    epochs: int = 30
    batch_size: int = 16
    peak_rate: float = 0.02
    warmup_epochs: float = 2.0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    frame_loss: float = 0.0
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    videomix_alpha: float = 0.2
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    flip: bool = True
    even_frames: bool = False
    colour_jitter: float = 0.0
    ema_decay: float = 0.0
    bf16: bool = False
    dml: Literal["none", "self", "peer"] = "none"
    frozen_stages: int = 0
    motion_first: bool = False
    head_first: bool = False
    frozen_norms: bool = False
    num_segments: int = 16
    lta: bool = True
    shift_stages: tuple[int, ...] = (3,)
    image_size: int = 224
    length_s: float = 2.0
    stride_s: float = 0.5
    background: str = "background"
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1,
            "batch_size": self.batch_size >= 2,
            "peak_rate": self.peak_rate > 0,
            "warmup_epochs": self.warmup_epochs >= 0,
            "optimizer": self.optimizer in ("sgd", "adamw"),
            "frame_loss": self.frame_loss >= 0,
            "weight_decay": self.weight_decay >= 0,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "videomix_alpha": self.videomix_alpha >= 0,
            "scales": bool(self.scales) and all(0 < scale <= 1 for scale in self.scales),
            "colour_jitter": 0 <= self.colour_jitter < 1,
            "ema_decay": 0 <= self.ema_decay < 1,
            "dml": self.dml in ("none", "self", "peer"),
            "frozen_stages": 0 <= self.frozen_stages <= 4,
            "num_segments": 2 <= self.num_segments <= 64,
            "shift_stages": all(stage in (1, 2, 3, 4) for stage in self.shift_stages),
            "image_size": 32 <= self.image_size <= 1024,
            "length_s": self.length_s > 0,
            "stride_s": self.stride_s > 0,
            "seed": self.seed >= 0,
        }
        wrong = [f"{name} = {getattr(self, name)}" for name, fits in checks.items() if not fits]
        if wrong:
            raise ModelError(f"recipe: out of range: {', '.join(wrong)}")
        if self.motion_first and (3 not in self.shift_stages or self.num_segments < 3):
            raise ModelError(
                "recipe: motion_first needs 3 in shift_stages and num_segments of 3 or more: "
                f"{self.shift_stages}, {self.num_segments}"
            )

    @property
    def short_side(self) -> int:
        """Pixels of the short side that pictures are scaled to before the crop: 256 for 224."""
        return round(self.image_size * 256 / 224)


def read_recipe(path: Path) -> Recipe:
    """A JSON object with any of the recipe's fields. Raises ModelError, naming the field."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot read the recipe ({error})") from None
    known = {field.name: field.default for field in fields(Recipe)}
    if not isinstance(content, dict):
        raise ModelError(f"{path}: must be a JSON object with any of {', '.join(known)}")
    problems = [
        f"{name!r} is unknown" if name not in known else f"{name!r} = {value!r}"
        for name, value in content.items()
        if name not in known or not _same_kind(value, known[name])
    ]
    if problems:
        raise ModelError(f"{path}: {', '.join(problems)}: accepted are {', '.join(known)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    try:
        return Recipe(**values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None


def write_recipe(recipe: Recipe, file: Path) -> None:
    """What `read_recipe` reads again."""
    write_whole(file, json.dumps(asdict(recipe), indent=1) + "\n")


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        return isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if isinstance(default, float):
        return type(value) in (int, float)
    return type(value) is type(default)
