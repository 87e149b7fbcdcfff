"""Crops of unlabelled frames, and what an ImageNet teacher sees in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ppsdk import VideoError
from ppsdk.clips import read_chosen
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, read_manifest
from ppsdk.preprocess import scale_for_model
from ppsdk.records import Image, Roi
from ppsdk.sampling import span_indices
from training.augment import multi_scale_crop
from training.device import best_device, to_network
from training.pretrain_options import PretrainOptions
from training.teacher import imagenet_teacher

ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]
SCALES = (1.0, 0.875, 0.75, 0.66)
TEACHER_FRAMES = 16  # that it is shown at once, all views of them


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


@dataclass(frozen=True)
class Views:
    """crops: uint8 (frames, views, S, S, 3). features: float32 (frames, views, 1280), what the
    teacher sees in them. video_ids: int64 (frames,), which of the videos each frame is of.
    """

    crops: Image
    features: NDArray[np.float32]
    video_ids: NDArray[np.int64]


def prepare_views(
    videos: list[LabelledClip], options: PretrainOptions, out: Path, show_progress: ShowProgress
) -> Views:
    """Made once: a run that goes on finds them in `out`."""
    facts: list[Any] = [[str(v.path.resolve()), v.path.stat().st_mtime_ns, v.roi] for v in videos]
    facts += [options.frames, options.views, options.image_size, options.seed]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    crops, video_ids, features = (out / f"{key}.{n}.npy" for n in ("views", "videos", "targets"))
    if not (features.exists() and video_ids.exists()):
        cut = _cut_views(videos, options, lambda items: show_progress(items, "decoding"))
        together = np.concatenate(cut)
        np.save(crops, together)
        np.save(video_ids, np.repeat(np.arange(len(cut)), [len(part) for part in cut]))
        np.save(features, _ask_teacher(together, lambda items: show_progress(items, "teacher")))
    return Views(np.load(crops, mmap_mode="r"), np.load(features), np.load(video_ids))


def _cut_views(
    videos: list[LabelledClip], options: PretrainOptions, progress: Callable[..., Iterable[Any]]
) -> list[Image]:
    """Of each video, uint8 (frames, views, S, S, 3)."""
    counts = [len(part) for part in np.array_split(np.arange(options.frames), len(videos))]
    # Decoders and resizers let go of the interpreter: threads do.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        cut = pool.map(partial(_views_of, options), videos, counts, range(len(videos)))
        return [next(cut) for _ in progress(range(len(videos)))]


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
