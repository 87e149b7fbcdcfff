"""Pretraining in the spirit of SSLD: what an ImageNet teacher sees in unlabelled frames.

SSLD (Cui et al., 2021) has a student learn the teacher's answers on pictures without labels. Here
the student learns the teacher's pooled features, which say more than the scores of a thousand
classes that are not the user's.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ppsdk import VideoError
from ppsdk.clips import read_chosen
from ppsdk.errors import ModelError
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, read_manifest
from ppsdk.preprocess import scale_for_model
from ppsdk.records import Image, Roi
from ppsdk.sampling import span_indices
from training.augment import multi_scale_crop
from training.device import ahead, best_device, to_network
from training.network import NetworkOptions, PPTSMv2
from training.optimizer import learning_rate
from training.state import read_state, save_state
from training.teacher import TEACHER_FEATURES, imagenet_teacher
from training.weights import TrainedAs, save_weights

log = logging.getLogger(__name__)

ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]
SCALES = (1.0, 0.875, 0.75, 0.66)
STATE_FILE = "pretrain-state.pt"
WEIGHT_DECAY = 0.05
TEACHER_FRAMES = 16  # that it is shown at once, all views of them


@dataclass(frozen=True)
class PretrainOptions:
    """frames: how many, spread over all videos. views: crops of each, which the teacher is shown
    once; epochs go round them. peak_rate: AdamW's learning rate for a batch of 64, for a loss
    whose gradients are far smaller than those of labels. bf16: autocast.
    """

    frames: int = 5000
    views: int = 4
    epochs: int = 12
    batch_size: int = 64
    peak_rate: float = 1e-3
    image_size: int = 112
    bf16: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("frames", "views", "epochs", "peak_rate"):
            if getattr(self, name) <= 0:
                raise ModelError(f"{name} is {getattr(self, name)}: must be more than 0")
        if self.batch_size < 2 or self.image_size < 32:
            raise ModelError("batch_size must be 2 or more, image_size 32 or more")


def pretrain(
    data: Path,
    out: Path,
    options: PretrainOptions,
    *,
    show_progress: ShowProgress = lambda items, label: items,
) -> Path:
    """Write backbone.safetensors to `out`, for `ppsdk train --init`; returns where it is.

    data: a manifest.csv, of which only the split "train" is looked at (all, if it has no splits),
    or a folder, of which all videos below it are. A run that was killed goes on where it was.
    """
    videos = find_videos(data)
    out.mkdir(parents=True, exist_ok=True)
    views, targets = _prepared(videos, options, out, show_progress)
    student = _learn(views, targets, options, out, lambda items: show_progress(items, "training"))
    said = (
        f"teacher's features of {len(views)} frames of {data.name}, {json.dumps(asdict(options))}"
    )
    trained_as = TrainedAs((), 2.0, 0.5, said, image_size=options.image_size)
    # No parameter of it has to do with time: it is saved as a network of any clips.
    network = PPTSMv2(NetworkOptions(TEACHER_FEATURES, lta=False))
    network.load_state_dict(student.state_dict())
    save_weights(network, out / "backbone.safetensors", trained_as)
    return out / "backbone.safetensors"


def find_videos(data: Path) -> list[LabelledClip]:
    """What may be learned from. Raises VideoError where there is none."""
    manifest = data / "manifest.csv" if data.is_dir() else data
    if manifest.is_file():
        clips = read_manifest(manifest)
        videos = [clip for clip in clips if clip.split in ("", "train")]
        seen_in_tests = {clip.path for clip in clips if clip.split not in ("", "train")}
        tested_groups = {c.group for c in clips if c.group and c.split not in ("", "train")}
        videos = [
            clip
            for clip in videos
            if clip.path not in seen_in_tests and clip.group not in tested_groups
        ]
    elif data.is_dir():
        files = sorted(p for p in data.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
        videos = [LabelledClip(str(file.relative_to(data)), file, "") for file in files]
    else:
        videos = []
    unique = {(clip.path, clip.roi): clip for clip in videos}
    if not unique:
        raise VideoError(
            f"{data}: must be a manifest.csv with a train split, or a folder of videos"
        )
    return list(unique.values())


def _prepared(
    videos: list[LabelledClip], options: PretrainOptions, out: Path, show_progress: ShowProgress
) -> tuple[Image, NDArray[np.float32]]:
    """Made once: a run that goes on finds both on disk."""
    facts: list[Any] = [[str(v.path.resolve()), v.path.stat().st_mtime_ns, v.roi] for v in videos]
    facts += [options.frames, options.views, options.image_size, options.seed]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    files = out / f"{key}.views.npy", out / f"{key}.targets.npy"
    if not files[1].exists():
        views = _cut_views(videos, options, lambda items: show_progress(items, "decoding"))
        np.save(files[0], views)
        np.save(files[1], _ask_teacher(views, lambda items: show_progress(items, "teacher")))
    return np.load(files[0], mmap_mode="r"), np.load(files[1])


def _cut_views(
    videos: list[LabelledClip], options: PretrainOptions, progress: Callable[..., Iterable[Any]]
) -> Image:
    """uint8 (frames, views, S, S, 3)."""
    counts = [len(part) for part in np.array_split(np.arange(options.frames), len(videos))]
    # Decoders and resizers let go of the interpreter: threads do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cut = pool.map(partial(_views_of, options), videos, counts, range(len(videos)))
        return np.concatenate([next(cut) for _ in progress(range(len(videos)))])


def _views_of(options: PretrainOptions, video: LabelledClip, count: int, number: int) -> Image:
    """uint8 (count or fewer, views, S, S, 3)."""
    rng = np.random.default_rng([options.seed, number])
    size = options.image_size
    views = np.empty((count, options.views, size, size, 3), np.uint8)
    frames = _frames_of(video.path, video.roi, count)
    for place, image in enumerate(frames):
        scaled = scale_for_model(image, short_side=round(size * 256 / 224))
        views[place] = [_view(scaled, options, rng) for _ in range(options.views)]
    return views[: len(frames)]


def _frames_of(path: Path, roi: Roi | None, count: int) -> list[Image]:
    if count == 0:
        return []
    images: dict[int, Image] = {}
    chosen = read_chosen(
        path,
        lambda times: span_indices(times.pts_s, 0.0, times.end_s, count),
        images.__setitem__,
        roi=roi,
    )
    return [images[i] for i in sorted(set(chosen.decoded.tolist()))]


def _view(scaled: Image, options: PretrainOptions, rng: np.random.Generator) -> Image:
    crop = multi_scale_crop(scaled[None], options.image_size, SCALES, rng)[0]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


@torch.no_grad()
def _ask_teacher(views: Image, progress: Callable[..., Iterable[Any]]) -> NDArray[np.float32]:
    """float32 (frames, views, 1280), each feature with mean 0, all together with deviation 1: one
    that hardly ever speaks should not count as much as the others.
    """
    device = best_device()
    teacher = imagenet_teacher().to(device)
    batches = np.array_split(views, max(1, len(views) // TEACHER_FRAMES))
    rows = [
        teacher.features(to_network(of_frames.reshape(-1, *views.shape[2:]), device)).cpu().numpy()
        for of_frames in progress(batches)
    ]
    features = np.concatenate(rows).reshape(*views.shape[:2], -1)
    features -= features.mean((0, 1))
    return features / np.sqrt(np.square(features).mean())


def _learn(
    views: Image,
    targets: NDArray[np.float32],
    options: PretrainOptions,
    out: Path,
    progress: Callable[..., Iterable[Any]],
) -> PPTSMv2:
    torch.manual_seed(options.seed)
    # One frame is a clip of one segment: there is nothing to shift and nothing to attend to.
    options_of_frames = NetworkOptions(
        TEACHER_FEATURES, num_segments=1, lta=False, shift_stages=(), dropout=False
    )
    device = best_device()
    student = PPTSMv2(options_of_frames).to(device)
    optimizer = torch.optim.AdamW(student.parameters(), lr=0.0, weight_decay=WEIGHT_DECAY)
    started = _resume(student, optimizer, options, out / STATE_FILE)
    steps = max(1, len(views) // options.batch_size)
    for epoch in progress(range(started, options.epochs)):
        rng = np.random.default_rng([options.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))
        student.train()
        batches = np.array_split(rng.permutation(len(views)), steps)
        of_epoch = views[:, epoch % options.views], targets[:, epoch % options.views]
        pictures = ahead(of_epoch[0].__getitem__, batches)
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
            _step(optimizer, seen, torch.from_numpy(of_epoch[1][batch]).to(device))
        content = {"student": student.state_dict(), "optimizer": optimizer.state_dict()}
        save_state(out / STATE_FILE, asdict(options), {"epochs": epoch + 1, **content})
    return student.cpu().eval()


def _step(optimizer: torch.optim.AdamW, seen: Tensor, targets: Tensor) -> None:
    loss = F.mse_loss(seen, targets)
    if not torch.isfinite(loss):
        raise ModelError("pretraining diverged: lower peak_rate")
    log.debug("loss %.4f", loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _resume(
    student: PPTSMv2, optimizer: torch.optim.AdamW, options: PretrainOptions, file: Path
) -> int:
    """The epochs that are done."""
    content = read_state(file, asdict(options))
    if content is None:
        return 0
    student.load_state_dict(content["student"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["epochs"])
