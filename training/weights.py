"""Save what was trained as .safetensors, with all that the converter has to know of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from ppsdk.version import __version__
from training.network import PPTSMv2


@dataclass(frozen=True)
class TrainedAs:
    """labels: class names by id. length_s, stride_s: the window it is meant for, seconds.
    image_size: pixels it was trained at. provenance: data and recipe, for people.
    """

    labels: tuple[str, ...]
    length_s: float
    stride_s: float
    provenance: str
    image_size: int = 224


def save_weights(
    network: PPTSMv2, path: Path, trained_as: TrainedAs, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write all parameters and statistics, in training form, as float32 or float16. The file
    appears whole or not at all.
    """
    if dtype not in (torch.float32, torch.float16):
        raise ValueError(f"dtype is {dtype}: must be torch.float32 or torch.float16")
    tensors = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    options = network.options
    metadata = {
        "num_segments": json.dumps(options.num_segments),
        "shift_stages": json.dumps(options.shift_stages),
        "labels": json.dumps(trained_as.labels),
        "length_s": json.dumps(trained_as.length_s),
        "stride_s": json.dumps(trained_as.stride_s),
        "image_size": json.dumps(trained_as.image_size),
        "provenance": trained_as.provenance,
        "ppsdk_version": __version__,
    }
    temporary = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, temporary, metadata)
        temporary.chmod(0o644)  # safetensors leaves it to its owner alone
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
