"""The network that training begins with: fresh, or with weights that it takes over."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from converters.checkpoint import read_checkpoint
from converters.metadata import read_trained_facts
from ppsdk.errors import ModelError
from training.network import Linear, NetworkOptions, PPTSMv2, load_network
from training.recipe import Recipe
from training.teacher import TEACHER_FEATURES

log = logging.getLogger(__name__)

NEW_GATE = 0.5  # what an attention that has learned nothing yet multiplies every frame by


def new_network(num_classes: int, recipe: Recipe, init: Path | None) -> PPTSMv2:
    options = NetworkOptions(num_classes, recipe.num_segments, recipe.lta, recipe.shift_stages)
    network = PPTSMv2(options)
    if init is not None:
        start_from(network, init)
    for part in network.parts(recipe.frozen_stages):
        part.requires_grad_(False)
    return network


def start_from(network: PPTSMv2, weights: Path) -> None:
    """Take over every parameter that fits. The classifier of other classes and an attention over
    another number of segments start anew; anything else that does not fit is a ModelError.
    """
    given = load_network(weights).state_dict()
    own = network.state_dict()
    fresh = [name for name in own if name not in given or given[name].shape != own[name].shape]
    foreign = [name for name in fresh if not name.startswith(("fc.", "global_attention."))]
    if foreign:
        raise ModelError(f"{weights}: does not fit the network: {', '.join(foreign[:5])}")
    if fresh:
        log.info("%s: start anew: %s", weights, ", ".join(fresh))
    network.load_state_dict({k: own[k] if k in fresh else given[k] for k in own})
    gate_before = _usual_gate(given)
    if not network.options.lta:
        network.expect_gate(1 / gate_before)
    elif any(name.startswith("global_attention.") for name in fresh):
        # It treats all frames alike until it has learned.
        torch.nn.init.zeros_(network.global_attention.fc.weight)
        torch.nn.init.zeros_(network.global_attention.fc.bias)
        network.expect_gate(NEW_GATE / gate_before)
    dropped = sorted(name for name in given if name not in own)
    if dropped:
        log.warning("%s: left out: %s", weights, ", ".join(dropped))


def _usual_gate(given: dict[str, Tensor]) -> float:
    """What the attention of these weights, if any, multiplies frames by, as far as its bias says:
    the batch norms behind it know frames so.
    """
    bias = given.get("global_attention.fc.bias")
    return 1.0 if bias is None else float(torch.sigmoid(bias).mean())


def warn_of_other_pictures(init: Path, recipe: Recipe) -> None:
    """What a network knows of pictures of one size is of little use for those of another."""
    size = read_trained_facts(read_checkpoint(init)).image_size
    if size not in (None, recipe.image_size):
        log.warning(
            "%s: learned from pictures of %d pixels, these have %d: image_size %d is meant for it",
            *(init, size, recipe.image_size, size),
        )


def taught_layer(init: Path | None) -> Linear | None:
    """Of a backbone from `ppsdk pretrain`, the layer that tells the teacher's features; None of
    other weights.
    """
    if init is None:
        return None
    given = load_network(init)
    return given.fc if given.options.num_classes == TEACHER_FEATURES else None
