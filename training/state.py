"""What a killed training goes on from: one file, whole or not there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ppsdk.errors import ModelError


def save_state(file: Path, asked: dict[str, Any], content: dict[str, Any]) -> None:
    """asked: what the training was asked for, which `read_state` compares."""
    temporary = file.with_name(f".{file.name}.part")
    torch.save({"asked": asked, **content}, temporary)
    os.replace(temporary, file)


def read_state(file: Path, asked: dict[str, Any]) -> dict[str, Any] | None:
    """None where there is no such file. Raises ModelError for one that is not whole, or of a
    training that was asked for something else.
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
    if made != asked:
        others = [
            f"{name} was {made.get(name)!r}, is {asked.get(name)!r}"
            for name in dict.fromkeys([*made, *asked])
            if made.get(name) != asked.get(name)
        ]
        raise ModelError(
            f"{file}: is of another recipe or data ({', '.join(others)[:200]}): choose another "
            "folder, or delete it"
        )
    return content
