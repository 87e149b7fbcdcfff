"""What a .safetensors says of itself beside its arrays: obeyed, or refused by name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from converters.checkpoint import Checkpoint
from ppsdk.errors import ModelError
from ppsdk.manifest import composed

# Said for people, not for the network. `format` is put there by other libraries.
_INFORMATIVE = ("format", "provenance", "ppsdk_version")


@dataclass(frozen=True)
class TrainedFacts:
    """None where the file does not say. Values in the file are JSON texts under these names."""

    num_segments: int | None = None
    shift_stages: tuple[int, ...] | None = None
    labels: tuple[str, ...] | None = None
    length_s: float | None = None
    stride_s: float | None = None
    image_size: int | None = None


def read_trained_facts(checkpoint: Checkpoint) -> TrainedFacts:
    """Raises ModelError naming the key that is unknown or has a value out of range."""
    where = checkpoint.path
    known = tuple(TrainedFacts.__dataclass_fields__)
    values: dict[str, Any] = {}
    for key, text in checkpoint.metadata.items():
        if key in _INFORMATIVE:
            continue
        if key not in known:
            raise ModelError(
                f"{where}: metadata {key!r} = {text[:80]!r} is not understood: "
                f"accepted are {', '.join(known + _INFORMATIVE)}"
            )
        values[key] = _value(key, text, where=str(where))
    return TrainedFacts(**values)


def _value(key: str, text: str, *, where: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if key in ("num_segments", "image_size"):
        fits, must = type(value) is int and 2 <= value <= 1024, "a whole number"
    elif key in ("length_s", "stride_s"):
        fits = type(value) in (int, float) and 0 < value < 1e9
        must = "seconds above 0"
    elif key == "labels":
        fits = isinstance(value, list) and all(isinstance(name, str) for name in value)
        must = "a JSON list of names"
    else:
        fits = isinstance(value, list) and all(type(s) is int and 1 <= s <= 4 for s in value)
        must = "a JSON list of stages 1 to 4"
    if not fits:
        raise ModelError(f"{where}: metadata {key!r} = {text[:80]!r}: must be {must}")
    if key == "shift_stages":
        return tuple(sorted(set(value)))
    if key == "labels":
        return tuple(composed(name) for name in value)
    return value
