"""The classifier to begin with: the best linear one on what the network sees already.

Where clips are few, learning everything from a random classifier first spoils the features that one
started from (Kumar et al., "Fine-Tuning can Distort Pretrained Features", 2022).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment import augment
from training.cache import CachedClip
from training.device import to_network
from training.network import Linear, PPTSMv2
from training.recipe import Recipe

VIEWS = 4  # of each clip
# How much louder than others the few features of motion are heard: of 1, 2, 4, 8 and 16 the best by
# five folds of two sets together (training/README.md, "What to expect of a hundred clips").
MOTION_VOICE = 4.0
# How much large weights cost, for features of deviation 1: their number is far above that of clips.
WEIGHT_COST = 0.3


def fit_head(
    network: PPTSMv2,
    clips: list[CachedClip],
    recipe: Recipe,
    *,
    taught: Linear | None = None,
    motion: Tensor | None = None,
) -> None:
    """Replace the weights of network.fc by those of a logistic regression on VIEWS draws of each
    clip, with the network as inference has it.

    taught: what tells the teacher's features from the network's (`start.taught_layer`): the
    regression is then on those. It stays one linear layer, but directions in which the network
    varies and the teacher does not are not mistaken for signs of a class.

    motion: which of the network's features tell of motion (`motion.add_motion`); not both, for the
    teacher, who looks at single frames, has no word for it.
    """
    features, label_ids = _features(network, clips, recipe)
    if taught is not None:
        features = taught.to(features.device)(features).detach()
    mean, deviation = features.mean(0), features.std(0)
    # One that hardly ever moves is not to be heard as loud as the others.
    deviation = (deviation + 0.01 * deviation.mean()).clamp(min=1e-12)
    if motion is not None:
        deviation[motion] /= MOTION_VOICE
    weight, bias = _regress((features - mean) / deviation, label_ids, network.options.num_classes)
    weight = weight / deviation[:, None]
    bias = bias - mean @ weight
    with torch.no_grad():
        if taught is not None:
            weight, bias = taught.weight @ weight, bias + taught.bias @ weight
        network.fc.weight.copy_(weight)
        network.fc.bias.copy_(bias)


@torch.no_grad()
def _features(network: PPTSMv2, clips: list[CachedClip], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """float32 (draws, 1280), and int64 (draws,)."""
    rng = np.random.default_rng(recipe.seed)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    drawn = clips * VIEWS
    rows = []
    for start, end in pairwise([*range(0, len(drawn), recipe.batch_size), len(drawn)]):
        crops = np.stack([augment(clip, recipe, rng)[0] for clip in drawn[start:end]])
        rows.append(network.features(to_network(crops, device)))
    network.train(was_training)
    return torch.cat(rows), torch.tensor([clip.label_id for clip in drawn], device=device)


def _regress(features: Tensor, label_ids: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Weight (features, classes) and bias (classes,) that cost least."""
    weight = features.new_zeros(features.shape[1], num_classes, requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        optimizer.zero_grad()
        total = F.cross_entropy(features @ weight + bias, label_ids)
        total = total + WEIGHT_COST * weight.square().sum()
        total.backward()
        return total

    optimizer.step(cost)
    return weight.detach(), bias.detach()
