"""What a model says of itself: kept in the IR's rt_info, so that no yaml can drift from it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ppsdk.errors import ModelError
from ppsdk.preprocess import IMAGENET_MEAN, IMAGENET_STD, RESIZE_RULE
from ppsdk.thinning import WindowGrid, check_seconds

# Raised when a reader of this version could not use a model of that one.
FORMAT = 1
# Facts that the first models of this format do not have.
_LATER = ("recipe", "calibration_clips", "calibrated_with")


@dataclass(frozen=True)
class ModelFacts:
    """labels: class names by id. num_segments: frames a clip. image_size, short_side: pixels.

    mean, std: of RGB / 255. precision: of the weights, "FP32" or "INT8". length_s, stride_s: the
    default window, seconds. shift_stages: the stages (1 to 4) with a temporal shift before them.
    source, source_sha256: the checkpoint it was made from. ppsdk_version: of the converter.
    self_test: the first logits for `self_test_crops`, a check on what the machine computes.
    recipe, calibration_clips: of the quantization, and how many different clips it really saw.
    calibrated_with: what tells those clips from others, a few hexadecimal digits each.
    """

    labels: tuple[str, ...]
    num_segments: int
    length_s: float
    stride_s: float
    source: str
    source_sha256: str
    ppsdk_version: str
    self_test: tuple[float, ...]
    has_lta: bool
    shift_stages: tuple[int, ...] = (3,)
    image_size: int = 224
    short_side: int = 256
    resize_rule: str = RESIZE_RULE
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    precision: str = "FP32"
    recipe: str = ""
    calibration_clips: int = 0
    calibrated_with: tuple[str, ...] = ()

    def grid(self, length_s: float | None, stride_s: float | None) -> WindowGrid:
        """How streams are cut for which these are given, seconds; a length with no stride keeps the
        overlap. The stride is rounded to whole segments. ValueError for what is out of range.
        """
        if length_s is None:
            length_s = self.length_s
        if stride_s is None:
            check_seconds("length_s", length_s)
            stride_s = self.stride_s * length_s / self.length_s
        return WindowGrid.from_seconds(length_s, stride_s, self.num_segments)

    def to_rt_info(self) -> dict[str, str]:
        """Every fact as a JSON text: rt_info values come back as strings, whatever goes in."""
        facts = {name: json.dumps(getattr(self, name)) for name in self.__dataclass_fields__}
        return {"format": str(FORMAT), **facts}

    @classmethod
    def from_rt_info(cls, texts: dict[str, str], *, where: str) -> ModelFacts:
        """Raises ModelError, naming the fact, where one is missing or has another type."""
        if texts.get("format") != str(FORMAT):
            raise ModelError(
                f"{where}: model format {texts.get('format')}: this ppsdk reads format {FORMAT}"
            )
        values: dict[str, Any] = {}
        for name in cls.__dataclass_fields__:
            if name in _LATER and name not in texts:
                continue
            try:
                values[name] = json.loads(texts[name])
            except (KeyError, ValueError):
                raise ModelError(f"{where}: rt_info has no valid {name!r}: damaged model") from None
            if isinstance(values[name], list):
                values[name] = tuple(values[name])
        facts = cls(**values)
        facts.check(where)
        return facts

    def check(self, where: str) -> None:
        """Raises ModelError, naming `where` and the fact that is out of range."""
        for name in ("num_segments", "image_size", "short_side"):
            value = getattr(self, name)
            if not (isinstance(value, int) and value > 0):
                raise ModelError(f"{where}: {name} is {value!r}: must be a whole number above 0")
        for name in ("length_s", "stride_s"):
            value = getattr(self, name)
            if not (_is_number(value) and value > 0):
                raise ModelError(f"{where}: {name} is {value!r}: must be seconds above 0")
        if not (isinstance(self.labels, tuple) and all(isinstance(x, str) for x in self.labels)):
            raise ModelError(f"{where}: labels are {self.labels!r}: must be a list of names")
        if self.short_side < self.image_size:
            raise ModelError(f"{where}: short_side {self.short_side}: below image_size")
        for name in ("mean", "std", "self_test"):
            values = getattr(self, name)
            fits = isinstance(values, tuple) and all(_is_number(value) for value in values)
            if not fits or (name != "self_test" and len(values) != 3):
                raise ModelError(
                    f"{where}: {name} is {values!r}: must be finite numbers, one a channel"
                )
        if min(self.std) <= 0:
            raise ModelError(f"{where}: std is {self.std}: must be above 0")
        if self.resize_rule != RESIZE_RULE:
            raise ModelError(
                f"{where}: resize rule {self.resize_rule!r}: this ppsdk knows {RESIZE_RULE!r}"
            )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
