"""Unlabelled frames of videos, decoded once, and crops of them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ppsdk import VideoError
from ppsdk.clips import read_chosen
from ppsdk.manifest import VIDEO_SUFFIXES, LabelledClip, read_manifest
from ppsdk.preprocess import centre_crop, scale_for_model
from ppsdk.records import Image, Roi
from ppsdk.sampling import span_indices
from training.augment import multi_scale_crop, recolour
from training.pretrain_options import PretrainOptions

log = logging.getLogger(__name__)

ShowProgress = Callable[[Iterable[Any], str], Iterable[Any]]
SCALES = (1.0, 0.875, 0.75, 0.66)
COLOUR_JITTER = 0.15


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
    unique = {(clip.path, clip.roi): clip for clip in videos if clip.path.is_file()}
    for clip in videos:
        if not clip.path.is_file():
            log.warning("left out: %s: no such file", clip.path)
    if not unique:
        raise VideoError(
            f"{data}: must be a manifest.csv with a train split, or a folder of videos"
        )
    return list(unique.values())


@dataclass(frozen=True)
class Frames:
    """pixels: uint8, of all frames one behind the other, each scaled for the model. starts: int64
    (frames,), where each begins. shapes: int64 (frames, 2), heights and widths. video_ids: int64
    (frames,), which of the videos each is of. image_size: of the crops. key: tells these frames
    from those of other files.
    """

    pixels: NDArray[np.uint8]
    starts: NDArray[np.int64]
    shapes: NDArray[np.int64]
    video_ids: NDArray[np.int64]
    image_size: int
    key: str

    def centres(self, ids: NDArray[np.int64]) -> Image:
        """uint8 (n, S, S, 3): what inference would see."""
        return np.stack([centre_crop(self._frame(i), self.image_size) for i in ids])

    def draw(self, ids: NDArray[np.int64], rng: np.random.Generator) -> Image:
        """uint8 (n, S, S, 3): another part of each frame at each draw, maybe mirrored, in another
        light.
        """
        return np.stack([self._view(self._frame(i), rng) for i in ids])

    def _frame(self, i: np.int64) -> Image:
        height, width = self.shapes[i]
        start = self.starts[i]
        return self.pixels[start : start + height * width * 3].reshape(height, width, 3)

    def _view(self, frame: Image, rng: np.random.Generator) -> Image:
        crop = multi_scale_crop(frame[None], self.image_size, SCALES, rng)[0]
        crop = crop[:, ::-1] if rng.random() < 0.5 else crop
        return recolour(crop, COLOUR_JITTER, rng)


def prepare_frames(
    videos: list[LabelledClip], options: PretrainOptions, out: Path, show_progress: ShowProgress
) -> Frames:
    """Decoded once: a run that goes on finds them in `out`. Videos that cannot be read are left
    out, with a warning each; VideoError where none can.
    """
    key = frames_key(videos, options)
    pixels, about = out / f"{key}.frames", out / f"{key}.npz"
    if not about.exists():
        decoded = _decode(videos, options, lambda items: show_progress(items, "decoding"))
        _store(decoded, pixels, about)
    with np.load(about) as known:
        shapes, video_ids = known["shapes"], known["video_ids"]
    sizes = 3 * shapes.prod(1)
    mapped = np.memmap(pixels, np.uint8, "r", shape=(int(sizes.sum()),))
    return Frames(mapped, sizes.cumsum() - sizes, shapes, video_ids, options.image_size, key)


def frames_key(videos: list[LabelledClip], options: PretrainOptions) -> str:
    """Of these very files, so many frames, at that size."""
    facts: list[Any] = [[str(v.path.resolve()), v.path.stat().st_mtime_ns, v.roi] for v in videos]
    facts += [options.frames, options.image_size]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _store(decoded: Iterable[list[Image]], pixels: Path, about: Path) -> None:
    """One video after the other; `about` comes last, and says that all are there."""
    shapes: list[tuple[int, ...]] = []
    video_ids: list[int] = []
    with pixels.open("wb") as file:
        for video_id, frames in enumerate(decoded):
            for frame in frames:
                file.write(frame.tobytes())
                shapes.append(frame.shape[:2])
                video_ids.append(video_id)
    if not shapes:
        pixels.unlink()
        raise VideoError("no video can be read")
    temporary = about.with_name(f".{about.name}")
    np.savez(temporary, shapes=np.array(shapes), video_ids=np.array(video_ids))
    os.replace(temporary, about)


def _decode(
    videos: list[LabelledClip], options: PretrainOptions, progress: Callable[..., Iterable[Any]]
) -> Iterator[list[Image]]:
    """Of each video, frames spread over all of it, scaled for the model."""
    edges = np.linspace(0, options.frames, len(videos) + 1).round().astype(int)
    short_side = round(options.image_size * 256 / 224)

    def decode(video: LabelledClip, count: int) -> list[Image]:
        try:
            return _frames_of(video.path, video.roi, count, short_side)
        except VideoError as error:
            log.warning("left out: %s", error)
            return []

    # Decoders and resizers let go of the interpreter: threads do.
    threads = os.cpu_count() or 1
    counts = np.diff(edges).tolist()
    waiting: deque[Future[list[Image]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for place in progress(range(len(videos))):
            # A few ahead: beside a long one, all others would be held.
            while len(waiting) < 2 * threads and place + len(waiting) < len(videos):
                following = place + len(waiting)
                waiting.append(pool.submit(decode, videos[following], counts[following]))
            yield waiting.popleft().result()


def _frames_of(path: Path, roi: Roi | None, count: int, short_side: int) -> list[Image]:
    """Scaled as they come: as they are, those of a long recording do not fit into memory."""
    if count == 0:
        return []
    images: dict[int, Image] = {}

    def keep(index: int, image: Image) -> None:
        images[index] = scale_for_model(image, short_side=short_side)

    chosen = read_chosen(
        path,
        lambda times: span_indices(times.pts_s, 0.0, times.end_s, count),
        keep,
        roi=roi,
    )
    return [images[i] for i in sorted(set(chosen.decoded.tolist()))]
