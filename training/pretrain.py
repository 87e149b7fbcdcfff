"""Pretraining in the spirit of SSLD: what an ImageNet teacher sees in unlabelled frames.

SSLD (Cui et al., 2021) has a student learn the teacher's answers on pictures without labels. Here
the student learns the teacher's pooled features, which say more than the scores of a thousand
classes that are not the user's, and, at the end of each of its stages, what the teacher sees where
at that depth: of a few videos, the pooled features alone are learned by heart.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppsdk.errors import ModelError, VideoError
from ppsdk.manifest import LabelledClip
from training.device import ahead, best_device, enough_memory, to_network
from training.frames import Frames, ShowProgress, find_videos, frames_key, prepare_frames
from training.lessons import Student, Teaching, difference
from training.network import NetworkOptions, PPTSMv2
from training.optimizer import learning_rate
from training.pictures import draw_explained
from training.pretrain_options import PretrainLog, PretrainOptions
from training.state import read_state, save_state
from training.teacher import TEACHER_FEATURES, imagenet_teacher
from training.weights import TrainedAs, save_weights

STATE_FILE, LOG_FILE = "pretrain-state.pt", "pretrain-log.csv"
WEIGHT_DECAY = 0.05
MOST_GRADIENT = 5.0  # its norm: the first steps of a network without shortcuts are wild
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
    or a folder, of which all videos below it are. Those that cannot be read are left out, with a
    warning. A run that was killed goes on from its last epoch.
    """
    videos = find_videos(data)
    out.mkdir(parents=True, exist_ok=True)
    read_state(out / STATE_FILE, _asked(options, frames_key(videos, options)))  # before they decode
    frames = prepare_frames(videos, options, out, show_progress)
    held_out = hold_out(videos)[frames.video_ids]
    if held_out.all():
        raise VideoError(f"{data}: none of the videos to learn from can be read")
    student, history = _learn(
        frames, held_out, options, out, lambda items: show_progress(items, "training")
    )
    draw_explained(history, out / "curves.png")
    said = (
        f"what the teacher sees in {np.sum(~held_out)} frames of {data.name}, "
        f"{json.dumps(asdict(options))}"
    )
    trained_as = TrainedAs((), 2.0, 0.5, said, image_size=options.image_size)
    # No parameter of it has to do with time: it is saved as a network of any clips.
    network = PPTSMv2(NetworkOptions(TEACHER_FEATURES, lta=False))
    network.load_state_dict(student.network.state_dict())
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


def explained(
    seen: NDArray[np.float32], features: NDArray[np.float32], *, known_mean: NDArray[np.float32]
) -> float:
    """Out-of-sample R2 of all features together: 1 - sum (seen - features)^2 / sum (features -
    known_mean)^2, 0 for a student that says the mean of the frames that were learned from.

    seen, features: float32 (frames, 1280). known_mean: float32 (1280,).
    """
    spread = np.square(features - known_mean).sum()
    return float(1 - np.square(seen - features).sum() / spread)


def _learn(
    frames: Frames,
    held_out: NDArray[np.bool_],
    options: PretrainOptions,
    out: Path,
    progress: Callable[[Iterable[int]], Iterable[int]],
) -> tuple[Student, list[PretrainLog]]:
    torch.manual_seed(options.seed)
    device = best_device()
    student = Student().to(device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    asked = _asked(options, frames.key)
    history = _resume(student, optimizer, asked, out / STATE_FILE)
    learned, unseen = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    some = learned[np.unique(np.linspace(0, len(learned) - 1, ASKED_FRAMES).round().astype(int))]
    drawn = frames.draw(some, np.random.default_rng(options.seed))
    teaching = Teaching(imagenet_teacher().to(device), to_network(drawn, device))
    told = [_features(teaching, frames, ids, options) for ids in (some, unseen)]
    for epoch in progress(range(len(history), options.epochs)):
        loss = _train_epoch(student, teaching, optimizer, frames, learned, options, epoch)
        student.eval()
        seen = [_features(student, frames, ids, options) for ids in (some, unseen)]
        mean = told[0].mean(0)
        of_learned = explained(seen[0], told[0], known_mean=mean)
        of_unseen = explained(seen[1], told[1], known_mean=mean) if len(unseen) else None
        history.append(PretrainLog(epoch + 1, loss, of_learned, of_unseen))
        content: dict[str, Any] = {
            "student": student.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": [asdict(row) for row in history],
        }
        save_state(out / STATE_FILE, asked, content)
        _write_log(history, out / LOG_FILE)
    return student.cpu().eval(), history


def _asked(options: PretrainOptions, videos: str) -> dict[str, Any]:
    """What a state must have been made with to go on from."""
    return asdict(options) | {"held_out_share": HELD_OUT_SHARE, "videos": videos}


def _train_epoch(
    student: Student,
    teaching: Teaching,
    optimizer: torch.optim.AdamW,
    frames: Frames,
    learned: NDArray[np.int64],
    options: PretrainOptions,
    epoch: int,
) -> float:
    """The mean loss of the features. Each epoch shows another crop of every frame."""
    device = best_device()
    rng = np.random.default_rng([options.seed, epoch])
    torch.manual_seed(int(rng.integers(2**62)))
    student.train()
    steps = max(1, len(learned) // options.batch_size)
    batches = np.array_split(rng.permutation(learned), steps)
    losses = []
    for i, crops in enumerate(ahead(partial(frames.draw, rng=rng), batches)):
        rate = learning_rate(
            epoch * steps + i,
            peak=options.peak_rate * options.batch_size / 64,
            warmup_steps=steps,
            total_steps=options.epochs * steps,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        with enough_memory(options.batch_size, options.image_size):
            pictures = to_network(crops, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
                told = student(pictures)
            losses.append(_step(student, optimizer, difference(told, teaching(pictures))))
    return float(np.mean(losses))


def _step(
    student: Student, optimizer: torch.optim.AdamW, differences: tuple[Tensor, Tensor]
) -> float:
    of_features, of_maps = differences
    loss = of_features + of_maps
    if not torch.isfinite(loss):
        raise ModelError("pretraining diverged: lower peak_rate, or take larger batches")
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(student.parameters(), MOST_GRADIENT)
    optimizer.step()
    return of_features.item()


@torch.no_grad()
def _features(
    seer: Student | Teaching, frames: Frames, ids: NDArray[np.int64], options: PretrainOptions
) -> NDArray[np.float32]:
    """float32 (frames, 1280), of what inference would see."""
    device = best_device()
    batches = np.array_split(ids, -(-len(ids) // options.batch_size)) if len(ids) else []
    seen = [seer(to_network(frames.centres(b), device)).features.cpu().numpy() for b in batches]
    return np.concatenate(seen) if seen else np.empty((0, TEACHER_FEATURES), np.float32)


def _write_log(history: list[PretrainLog], file: Path) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=[field.name for field in fields(PretrainLog)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in history)


def _resume(
    student: Student, optimizer: torch.optim.AdamW, asked: dict[str, Any], file: Path
) -> list[PretrainLog]:
    """The epochs that are done."""
    content = read_state(file, asked)
    if content is None:
        return []
    student.load_state_dict(content["student"])
    optimizer.load_state_dict(content["optimizer"])
    return [PretrainLog(**row) for row in content["history"]]
