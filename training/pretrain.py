"""Pretraining in the spirit of SSLD: what an ImageNet teacher sees in unlabelled frames.

SSLD (Cui et al., 2021) has a student learn the teacher's answers on pictures without labels. Here
the student learns the teacher's pooled features, which say more than the scores of a thousand
classes that are not the user's.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ppsdk.errors import ModelError
from ppsdk.manifest import LabelledClip
from training.device import ahead, best_device, to_network
from training.network import NetworkOptions, PPTSMv2
from training.optimizer import learning_rate
from training.pictures import draw_explained
from training.pretrain_options import PretrainLog, PretrainOptions
from training.state import read_state, save_state
from training.teacher import TEACHER_FEATURES
from training.views import ShowProgress, Views, find_videos, prepare_views
from training.weights import TrainedAs, save_weights

STATE_FILE, LOG_FILE = "pretrain-state.pt", "pretrain-log.csv"
WEIGHT_DECAY = 0.05
HELD_OUT_SHARE = 16  # one group of videos of so many is only looked at
ASKED_FRAMES = 256  # of those learned from, after each epoch


@dataclass(frozen=True)
class Pretrained:
    """weights: what `ppsdk train --init` takes. explained: the share of the variance of the
    teacher's features that the student tells, 1 at best, on frames that it learned from;
    explained_held_out: on frames of groups that it has not seen, None where there are too few
    groups to hold one out.

    Where the second is far below the first, it knows videos, not what is in them: more videos help,
    more frames of the same ones do not.
    """

    weights: Path
    explained: float
    explained_held_out: float | None


def pretrain(
    data: Path,
    out: Path,
    options: PretrainOptions,
    *,
    show_progress: ShowProgress = lambda items, label: items,
) -> Pretrained:
    """Write backbone.safetensors to `out`, for `ppsdk train --init`.

    data: a manifest.csv, of which only the split "train" is looked at (all, if it has no splits),
    or a folder, of which all videos below it are. A run that was killed goes on where it was.
    """
    videos = find_videos(data)
    out.mkdir(parents=True, exist_ok=True)
    views = prepare_views(videos, options, out, show_progress)
    held_out = hold_out(videos)[views.video_ids]
    student, history = _learn(
        views, held_out, options, out, lambda items: show_progress(items, "training")
    )
    draw_explained(history, out / "curves.png")
    said = (
        f"teacher's features of {np.sum(~held_out)} frames of {data.name}, "
        f"{json.dumps(asdict(options))}"
    )
    trained_as = TrainedAs((), 2.0, 0.5, said, image_size=options.image_size)
    # No parameter of it has to do with time: it is saved as a network of any clips.
    network = PPTSMv2(NetworkOptions(TEACHER_FEATURES, lta=False))
    network.load_state_dict(student.state_dict())
    save_weights(network, out / "backbone.safetensors", trained_as)
    last = history[-1]
    return Pretrained(out / "backbone.safetensors", last.explained, last.explained_held_out)


def hold_out(videos: list[LabelledClip]) -> NDArray[np.bool_]:
    """Which of them are only looked at: those of every sixteenth group, of at least one where there
    are four. A video without a group is one.
    """
    groups = [video.group or video.name for video in videos]
    names = sorted(set(groups))
    chosen = names[::HELD_OUT_SHARE] if len(names) >= 4 else []
    return np.isin(groups, chosen)


def explained(seen: NDArray[np.float32], features: NDArray[np.float32]) -> float:
    """R2 of all features together: 1 - sum (seen - features)^2 / sum (features - their mean)^2.

    seen, features: float32 (frames, 1280).
    """
    spread = np.square(features - features.mean(0)).sum()
    return float(1 - np.square(seen - features).sum() / spread)


def _learn(
    views: Views,
    held_out: NDArray[np.bool_],
    options: PretrainOptions,
    out: Path,
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> tuple[PPTSMv2, list[PretrainLog]]:
    torch.manual_seed(options.seed)
    device = best_device()
    # One frame is a clip of one segment: there is nothing to shift and nothing to attend to.
    options_of_frames = NetworkOptions(
        TEACHER_FEATURES, num_segments=1, lta=False, shift_stages=(), dropout=False
    )
    student = PPTSMv2(options_of_frames).to(device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    asked = asdict(options) | {"held_out_share": HELD_OUT_SHARE}
    history = _resume(student, optimizer, asked, out / STATE_FILE)
    learned, unseen = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    some = learned[np.unique(np.linspace(0, len(learned) - 1, ASKED_FRAMES).round().astype(int))]
    for epoch in progress(range(len(history), options.epochs)):
        loss = _train_epoch(student, optimizer, views, learned, options, epoch)
        history.append(
            PretrainLog(
                epoch + 1,
                loss,
                _explained(student, views, some, options),
                # A single frame has no spread.
                _explained(student, views, unseen, options) if len(unseen) > 1 else None,
            )
        )
        content: dict[str, Any] = {
            "student": student.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": [asdict(row) for row in history],
        }
        save_state(out / STATE_FILE, asked, content)
        _write_log(history, out / LOG_FILE)
    return student.cpu().eval(), history


def _train_epoch(
    student: PPTSMv2,
    optimizer: torch.optim.AdamW,
    views: Views,
    learned: NDArray[np.int64],
    options: PretrainOptions,
    epoch: int,
) -> float:
    """The mean loss. Each epoch shows another view of every frame, until all have been shown."""
    device = best_device()
    rng = np.random.default_rng([options.seed, epoch])
    torch.manual_seed(int(rng.integers(2**62)))
    student.train()
    steps = max(1, len(learned) // options.batch_size)
    batches = np.array_split(rng.permutation(learned), steps)
    view = epoch % options.views
    pictures = ahead(views.crops[:, view].__getitem__, batches)
    losses = []
    for i, (batch, crops) in enumerate(zip(batches, pictures, strict=True)):
        rate = learning_rate(
            epoch * steps + i,
            peak=options.peak_rate * options.batch_size / 64,
            warmup_steps=steps,
            total_steps=options.epochs * steps,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
            seen = student(to_network(crops, device)[:, None]).float()
        features = torch.from_numpy(views.features[batch, view]).to(device)
        losses.append(_step(optimizer, seen, features))
    return float(np.mean(losses))


def _step(optimizer: torch.optim.AdamW, seen: Tensor, features: Tensor) -> float:
    loss = F.mse_loss(seen, features)
    if not torch.isfinite(loss):
        raise ModelError("pretraining diverged: lower peak_rate")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def _explained(
    student: PPTSMv2, views: Views, frames: NDArray[np.int64], options: PretrainOptions
) -> float:
    """Of their first views."""
    device = best_device()
    student.eval()
    batches = np.array_split(frames, -(-len(frames) // options.batch_size))
    seen = [student(to_network(views.crops[b, 0], device)[:, None]).cpu().numpy() for b in batches]
    return explained(np.concatenate(seen), views.features[frames, 0])


def _write_log(history: list[PretrainLog], file: Path) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=[field.name for field in fields(PretrainLog)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


def _resume(
    student: PPTSMv2, optimizer: torch.optim.AdamW, asked: dict[str, Any], file: Path
) -> list[PretrainLog]:
    """The epochs that are done."""
    content = read_state(file, asked)
    if content is None:
        return []
    student.load_state_dict(content["student"])
    optimizer.load_state_dict(content["optimizer"])
    return [PretrainLog(**row) for row in content["history"]]
