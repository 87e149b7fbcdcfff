"""One epoch: what is drawn of each clip, mixed, and learned from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppsdk.errors import ModelError
from ppsdk.records import Image
from training.augment import augment
from training.cache import CachedClip
from training.device import ahead, enough_memory, to_network
from training.dml import mutual_losses, soft_cross_entropy
from training.learners import Learners
from training.network import PPTSMv2
from training.optimizer import learning_rate, set_rate
from training.recipe import Recipe
from training.videomix import smoothed_targets, videomix


def train_epoch(
    learners: Learners,
    clips: list[CachedClip],
    num_classes: int,
    recipe: Recipe,
    epoch: int,
    device: torch.device,
) -> tuple[float, float]:
    """The mean loss over the epoch's clips, and its last learning rate. Every draw comes from the
    seed and the epoch, so that an epoch is the same after a resume.
    """
    rng = np.random.default_rng([recipe.seed, epoch])
    torch.manual_seed(int(rng.integers(2**62)))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    for network in learners.networks:
        network.train()
        if isinstance(network, PPTSMv2):
            network.infer_in(recipe.frozen_stages, norms=recipe.frozen_norms)
    order = rng.permutation(len(clips))
    # A batch of one has no statistics to normalise by.
    batches = [order[i : i + recipe.batch_size] for i in range(0, len(order), recipe.batch_size)]
    batches = [batch for batch in batches if len(batch) > 1]
    peak = recipe.peak_rate * recipe.batch_size / 16
    total, seen, rate = 0.0, 0, 0.0
    draw = partial(_draw, recipe=recipe, rng=rng)
    for i, drawn in enumerate(ahead(draw, ([clips[k] for k in batch] for batch in batches))):
        rate = learning_rate(
            epoch * len(batches) + i,
            peak=peak,
            warmup_steps=round(recipe.warmup_epochs * len(batches)),
            total_steps=recipe.epochs * len(batches),
        )
        with enough_memory(recipe.batch_size, recipe.image_size):
            pictures, targets = _mixed(drawn, num_classes, recipe, generator, device)
            loss = _step(learners, pictures, targets, recipe, rate)
        total, seen = total + loss * len(pictures), seen + len(pictures)
    return total / seen, rate


@dataclass(frozen=True, eq=False)
class _Drawn:
    """crops: uint8 (N, num_segments, S, S, 3). label_ids: int64 (N, 1 + num_segments), of the clip
    and of its frames, -1 where nothing tells.
    """

    crops: Image
    label_ids: NDArray[np.int64]


def _draw(clips: list[CachedClip], recipe: Recipe, rng: np.random.Generator) -> _Drawn:
    drawn = [augment(clip, recipe, rng) for clip in clips]
    label_ids = [(clip.label_id, *of) for clip, (_, of) in zip(clips, drawn, strict=True)]
    return _Drawn(np.stack([crops for crops, _ in drawn]), np.array(label_ids))


def _mixed(
    drawn: _Drawn,
    num_classes: int,
    recipe: Recipe,
    generator: torch.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Pictures (N, num_segments, 3, S, S), and targets (N, 1 + num_segments, classes): of the clip,
    and of its frames, zeros where nothing tells.
    """
    pictures = to_network(drawn.crops, device)
    label_ids = torch.from_numpy(drawn.label_ids).to(device)
    targets = smoothed_targets(label_ids, num_classes, recipe.label_smoothing)
    if recipe.videomix_alpha:
        return videomix(pictures, targets, alpha=recipe.videomix_alpha, generator=generator)
    return pictures, targets


def _step(
    learners: Learners, pictures: Tensor, targets: Tensor, recipe: Recipe, rate: float
) -> float:
    of_clip, of_frames = targets[:, 0], targets[:, 1:]
    by_frame = _run(_ByFrame(learners.student), pictures, recipe).float()
    outputs = [by_frame.mean(1)]
    outputs += [_run(peer, pictures, recipe).float() for peer in learners.networks[1:]]
    if len(outputs) == 2:
        losses = list(mutual_losses(outputs[0], outputs[1], of_clip))
    else:
        losses = [soft_cross_entropy(outputs[0], of_clip)]
    shown = losses[0].item()
    if recipe.frame_loss:
        losses[0] = losses[0] + recipe.frame_loss * soft_cross_entropy(
            by_frame.flatten(0, 1), of_frames.flatten(0, 1)
        )
    if not all(torch.isfinite(loss) for loss in losses):
        raise ModelError(f"training diverged at a learning rate of {rate:.3g}: lower peak_rate")
    for loss, optimizer in zip(losses, learners.optimizers, strict=True):
        set_rate(optimizer, rate)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if learners.average is not None:
        _average(learners.average, learners.student, recipe.ema_decay)
    return shown


class _ByFrame(nn.Module):
    """The student, asked for the logits of each frame."""

    def __init__(self, student: PPTSMv2) -> None:
        super().__init__()
        self.student = student

    def forward(self, pictures: Tensor) -> Tensor:
        return self.student.frame_logits(pictures)


class _InBf16(nn.Module):
    """Each GPU has a thread of its own, which does not know of autocast around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pictures: Tensor) -> Tensor:
        with torch.autocast(pictures.device.type, torch.bfloat16):
            logits: Tensor = self.network(pictures)
        return logits


def _run(network: nn.Module, pictures: Tensor, recipe: Recipe) -> Tensor:
    """On all GPUs where there are several, each with a part of the batch."""
    network = _InBf16(network) if recipe.bf16 else network
    if pictures.is_cuda and torch.cuda.device_count() > 1:
        network = nn.DataParallel(network)
    logits: Tensor = network(pictures)
    return logits


@torch.no_grad()
def _average(average: PPTSMv2, network: PPTSMv2, decay: float) -> None:
    now = network.state_dict()
    for name, value in average.state_dict().items():
        value.lerp_(now[name], 1 - decay)
