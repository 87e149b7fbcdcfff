"""What a killed training goes on from: one file, whole or not there."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from converters.checkpoint import read_checkpoint
from ppsdk.errors import ModelError
from training.cache import CachedClip
from training.recipe import Recipe


def asked_for(
    train: list[CachedClip],
    held_out: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    init: Path | None,
) -> dict[str, Any]:
    """What a state must have been made with to go on from: the recipe, the clips, the weights."""
    clips = {"clips": _told_apart(train), "held-out clips": _told_apart(held_out)}
    return asked_of_weights(num_classes, recipe, init) | clips


def asked_of_weights(num_classes: int, recipe: Recipe, init: Path | None) -> dict[str, Any]:
    """The part of `asked_for` that is known before clips are decoded."""
    given = "" if init is None else digest_of(init)
    return {**asdict(recipe), "num_classes": num_classes, "init": given}


def digest_of(weights: Path) -> str:
    """Of its arrays: metadata of the same weights is written in another order now and then."""
    digest = hashlib.sha256()
    for name, array in sorted(read_checkpoint(weights).arrays.items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def _told_apart(clips: list[CachedClip]) -> str:
    """Their number, and a digest of labels, times and first pictures."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(str(clip.label_id).encode())
        for array in (clip.pts_s, clip.centres, clip.frames[:1]):
            digest.update(array.tobytes())
    return f"{len(clips)}, {digest.hexdigest()[:12]}"


def save_state(file: Path, asked: dict[str, Any], content: dict[str, Any]) -> None:
    """asked: what the training was asked for, which `read_state` compares."""
    temporary = file.with_name(f".{file.name}.part")
    torch.save({"asked": asked, **content}, temporary)
    os.replace(temporary, file)


def read_state(file: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """None where there is no such file. Raises ModelError for one that is not whole, or of a
    training that was asked for something else than `asked`, which may be a part of all.
    """
    if not file.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(file, weights_only=True, map_location="cpu")
        made = content["asked"]
    except Exception as error:  # torch raises many kinds for a file that is not whole
        what = " ".join(str(error).split())[:120]
        raise ModelError(
            f"{file}: cannot go on from it ({what}): delete it to start anew"
        ) from None
    others = [
        f"{name} was {made.get(name)!r}, is {value!r}"
        for name, value in asked.items()
        if made.get(name) != value
    ]
    if others:
        raise ModelError(
            f"{file}: is of another recipe or data ({', '.join(others)[:200]}): choose another "
            "folder, or delete it"
        )
    return content
