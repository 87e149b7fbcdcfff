"""What the work-cell model learns first: where hand, part and wrench are, how the hand moves, and
which movement it is, frame by frame.

From the labels of windows alone, a network that starts from nothing had not learned in an hour of
two cores which way an action goes: an action and its reversal have the same pictures, and only what
is held *and* where the hand goes, together, tell them apart. A rendered scene knows both for each
frame. A few 1x1 convolutions, thrown away afterwards, ask for them in the middle of the network.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ppsdk.demo.render import Places, Scene
from ppsdk.errors import ModelError
from ppsdk.records import Image
from training.augment import draw_frames, recolour
from training.cache import CachedClip, cache_clips
from training.data import read_clip_sets
from training.device import ahead, best_device, to_network
from training.network import PPTSMv2
from training.optimizer import learning_rate, make_optimizer, set_rate
from training.recipe import Recipe
from training.start import new_network
from training.state import asked_for, read_state, save_state
from training.weights import TrainedAs, save_weights

log = logging.getLogger(__name__)

Progress = Callable[[Iterable[int]], Iterable[int]]

STATE_FILE = "whereabouts-state.pt"
THINGS = ("hand", "part", "wrench")
# What else the later of the two is asked: at the hand, is the part held, is the wrench, how the
# hand moves (x, y), and how high it is; at the wrench, how it turns.
ASKED = ("part held", "wrench held", "moves x", "moves y", "lift", "turns")
EARLY_STAGE, LATE_STAGE = 2, 3
SHIFTED_CHANNELS = 256  # of the early stage, before the shift
# Units in which a movement is about 1: a tenth of the picture, or 30 degrees, in one segment; and
# in which the hand is lifted by 1 on its way.
MOVE_UNIT, TURN_UNIT_DEG, LIFT_UNIT = 0.1, 30.0, 0.2


@dataclass(frozen=True, eq=False)
class Truth:
    """Of each frame: things, float32 (frames, 3, 2), where they are, in fractions of the picture;
    asked, float32 (frames, 6), in the order of ASKED.
    """

    things: NDArray[np.float32]
    asked: NDArray[np.float32]


def learn_whereabouts(
    manifest: Path,
    scenes: dict[str, Scene],
    out: Path,
    recipe: Recipe,
    cache: Path,
    *,
    init: Path | None = None,
    progress: Progress = iter,
) -> Path:
    """Write whereabouts.safetensors to `out`, for `train(init=...)`; returns where it is.

    manifest: of the movements. scenes: by the names of their files. recipe.frozen_stages: what of
    `init` stays as it is. A run that was killed goes on with the epoch that it was in.
    """
    out.mkdir(parents=True, exist_ok=True)
    sets = read_clip_sets(manifest, length_s=recipe.length_s, background="")
    clips = cache_clips(sets.train, sets.labels, recipe, cache)
    segment_s = recipe.length_s / recipe.num_segments
    # Intervals of a recording share its frames: their truth is worked out once.
    known: dict[str, Truth] = {}
    for labelled, clip in zip(sets.train, clips, strict=True):
        if labelled.name not in known:
            known[labelled.name] = _truth(scenes[labelled.name], clip.pts_s, segment_s)
    truths = [known[labelled.name] for labelled in sets.train]
    asker = _fit(clips, truths, len(sets.labels), recipe, out, init, progress)
    weights = out / "whereabouts.safetensors"
    said = f"whereabouts in {len(known)} rendered scenes"
    trained_as = TrainedAs(
        sets.labels, recipe.length_s, recipe.stride_s, said, image_size=recipe.image_size
    )
    save_weights(asker.network, weights, trained_as)
    return weights


class Asker(nn.Module):
    """The network, asked in its middle as well.

    (N, num_segments, 3, S, S) -> maps of THINGS after an early stage, (N * num_segments, 3, h, w),
    three times: by all channels, by those that the temporal shift then takes from the frame before,
    and by those that it takes from the frame after, for how something moves can only be told by
    what they say; maps of THINGS and ASKED after a later stage, (N * num_segments, 9, h', w'); and
    the logits of each frame, (N * num_segments, classes).
    """

    def __init__(self, network: PPTSMv2) -> None:
        super().__init__()
        self.network = network
        fold = SHIFTED_CHANNELS // network.options.num_segments
        self.early = nn.Conv2d(SHIFTED_CHANNELS, len(THINGS), 1)
        self.before, self.after = (nn.Conv2d(fold, len(THINGS), 1) for _ in range(2))
        self._fold = fold
        self.late = nn.Conv2d(512, len(THINGS) + len(ASKED), 1)

    def forward(self, clips: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        seen = self.network.stage_maps(clips)
        by_frame = self.network.fc(self.network.pooled(seen[-1])).flatten(0, 1)
        early, fold = seen[EARLY_STAGE - 1], self._fold
        maps = [self.early(early), self.before(early[:, :fold])]
        maps.append(self.after(early[:, fold : 2 * fold]))
        return maps, self.late(seen[LATE_STAGE - 1]), by_frame


def _truth(scene: Scene, pts_s: NDArray[np.float64], segment_s: float) -> Truth:
    things, asked = [], []
    for time_s in pts_s.tolist():
        now = scene.places(time_s)
        before, after = scene.places(time_s - segment_s / 2), scene.places(time_s + segment_s / 2)
        things.append([now.hand, now.part, now.wrench])
        x, y, turns = _moves(before, after)
        asked.append([now.part_held, now.wrench_held, x, y, now.lift / LIFT_UNIT, turns])
    return Truth(np.array(things, np.float32), np.array(asked, np.float32))


def _moves(before: Places, after: Places) -> tuple[float, float, float]:
    x, y = (float(b - a) / MOVE_UNIT for a, b in zip(before.hand, after.hand, strict=True))
    return x, y, (after.wrench_deg - before.wrench_deg) / TURN_UNIT_DEG


def _fit(
    clips: list[CachedClip],
    truths: list[Truth],
    num_classes: int,
    recipe: Recipe,
    out: Path,
    init: Path | None,
    progress: Progress,
) -> Asker:
    torch.manual_seed(recipe.seed)
    device = best_device()
    asker = Asker(new_network(num_classes, recipe, init)).to(device)
    optimizer = make_optimizer(asker, weight_decay=recipe.weight_decay, kind=recipe.optimizer)
    steps = len(clips) // recipe.batch_size
    asked = asked_for(clips, [], num_classes, recipe, init)
    done = _resume(asker, optimizer, asked, out / STATE_FILE)
    for epoch in progress(range(done, recipe.epochs)):
        rng = np.random.default_rng([recipe.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        asker.train()
        asker.network.infer_in(recipe.frozen_stages, norms=recipe.frozen_norms)
        total = np.zeros(5)
        draw = partial(_draw_batch, clips, truths, recipe, rng)
        batches = np.array_split(rng.permutation(len(clips)), steps)
        for i, drawn in enumerate(ahead(draw, batches)):
            rate = learning_rate(
                epoch * steps + i,
                peak=recipe.peak_rate * recipe.batch_size / 16,
                warmup_steps=round(recipe.warmup_epochs * steps),
                total_steps=recipe.epochs * steps,
            )
            losses = torch.stack(_losses(asker, drawn, device))
            total += losses.detach().cpu().numpy()
            loss = losses.sum()
            if not torch.isfinite(loss):
                raise ModelError("learning whereabouts diverged: lower peak_rate")
            set_rate(optimizer, rate)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if i % 50 == 49:
                log.info("epoch %d step %d: %s", epoch + 1, i + 1, (total / 50).round(3))
                total[:] = 0
        content = {"asker": asker.state_dict(), "optimizer": optimizer.state_dict()}
        save_state(out / STATE_FILE, asked, {"epochs": epoch + 1, **content})
    return asker.cpu().eval()


@dataclass(frozen=True, eq=False)
class _Drawn:
    """crops: uint8 (num_segments, S, S, 3); things in fractions of them."""

    crops: Image
    things: NDArray[np.float32]
    asked: NDArray[np.float32]
    label_ids: NDArray[np.int64]


def _draw_batch(
    clips: list[CachedClip],
    truths: list[Truth],
    recipe: Recipe,
    rng: np.random.Generator,
    batch: NDArray[np.int64],
) -> list[_Drawn]:
    return [_draw(clips[k], truths[k], recipe, rng) for k in batch]


def _draw(clip: CachedClip, truth: Truth, recipe: Recipe, rng: np.random.Generator) -> _Drawn:
    places = draw_frames(clip, rng, even=recipe.even_frames)
    frames = clip.frames[places]
    height, width = frames.shape[1:3]
    side = round(min(height, width) * float(rng.choice(recipe.scales)))
    left, top = rng.integers(width - side + 1), rng.integers(height - side + 1)
    size = (recipe.image_size, recipe.image_size)
    cut = frames[:, top : top + side, left : left + side]
    crops = np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in cut])
    crops = recolour(crops.astype(np.uint8), recipe.colour_jitter, rng)
    things = (truth.things[places] * (width, height) - (left, top)) / side
    return _Drawn(
        crops,
        things.astype(np.float32),
        truth.asked[places],
        clip.frame_labels[places],
    )


def _losses(asker: Asker, drawn: list[_Drawn], device: torch.device) -> list[Tensor]:
    """Where things are, twice; what is held; how it moves; which movement it is."""
    pictures = to_network(np.stack([one.crops for one in drawn]), device)
    things, asked, label_ids = (
        torch.from_numpy(np.concatenate(of_all)).to(device)
        for of_all in zip(*((one.things, one.asked, one.label_ids) for one in drawn), strict=True)
    )
    early, late, logits = asker(pictures)
    late_things, answers = late[:, : len(THINGS)], late[:, len(THINGS) :]
    at_hand, at_wrench = (_at(answers, things[:, THINGS.index(k)]) for k in ("hand", "wrench"))
    hand_seen, wrench_seen = (_inside(things[:, THINGS.index(k)]) for k in ("hand", "wrench"))
    held = F.binary_cross_entropy_with_logits(
        at_hand[:, :2], asked[:, :2], weight=hand_seen[:, None]
    )
    moves = F.smooth_l1_loss(at_hand[:, 2:5], asked[:, 2:5], reduction="none").mean(1)
    # The wrench stands still most of the time: little would be lost by saying that it always does.
    turns = 4 * F.smooth_l1_loss(at_wrench[:, 5], asked[:, 5], reduction="none")
    moved = (moves * hand_seen).mean() + (turns * wrench_seen).mean()
    known = label_ids >= 0
    named = F.cross_entropy(logits[known], label_ids[known])
    by_early = torch.stack([_where(maps, things) for maps in early]).mean()
    return [by_early, _where(late_things, things), 2 * held, 8 * moved, named]


def _where(maps: Tensor, things: Tensor) -> Tensor:
    """Cross-entropy over the cells of each map, of things that are in the picture."""
    cells = _cells(maps, things).flatten()
    loss = F.cross_entropy(maps.flatten(2).flatten(0, 1), cells, reduction="none")
    seen = _inside(things).flatten()
    return (loss * seen).sum() / seen.sum().clamp(min=1)


def _cells(maps: Tensor, points: Tensor) -> Tensor:
    """Points (..., 2) in fractions -> int64 (...), the cell that each is in, or the nearest."""
    height, width = maps.shape[2:]
    x = (points[..., 0] * width).long().clamp(0, width - 1)
    y = (points[..., 1] * height).long().clamp(0, height - 1)
    return y * width + x


def _at(maps: Tensor, points: Tensor) -> Tensor:
    """maps (frames, K, h, w) at points (frames, 2) -> (frames, K)."""
    cells = _cells(maps, points)[:, None, None].expand(-1, maps.shape[1], 1)
    return maps.flatten(2).gather(2, cells)[..., 0]


def _inside(points: Tensor) -> Tensor:
    """float32, 1 where a point is in the picture."""
    return ((points >= 0) & (points < 1)).all(-1).float()


def _resume(
    asker: Asker, optimizer: torch.optim.Optimizer, asked: dict[str, Any], file: Path
) -> int:
    """The epochs that are done."""
    content = read_state(file, asked)
    if content is None:
        return 0
    asker.load_state_dict(content["asker"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["epochs"])
