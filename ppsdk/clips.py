"""From a file to the frames that stand for it: what classify, calibration and training share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import VideoError
from ppsdk.preprocess import check_roi, cut_roi
from ppsdk.records import Clip, Frame, Image, Roi
from ppsdk.sampling import Sampling, check_sampling, choose_indices
from ppsdk.sources import Decoder, VideoFile, open_file
from ppsdk.sources.protocol import FrameTimes, with_size

Choose = Callable[[FrameTimes], NDArray[np.int64]]


def sample_clip(
    path: str | os.PathLike[str],
    *,
    num_segments: int = 16,
    sampling: Sampling = "full",
    seed: int | None = None,
    roi: Roi | None = None,
    decoder: Decoder = "auto",
) -> Clip:
    """Sample a video file, without a model.

    sampling: "full" takes the frame nearest the centre of each of num_segments equal segments by
    time; "paddlevideo" follows the reference's evaluation rule to the frame; "random" takes a
    random frame of each segment, the same for the same seed.
    roi: (x0, y0, x1, y1) in fractions of the picture, cut out first.
    Returns a Clip with images uint8 (num_segments, H, W, 3) RGB.
    Raises VideoError for a file that gives no frames, ValueError for an argument out of range.
    """
    choose = chooser(sampling, num_segments, seed)
    check_roi(roi)
    return _read_clip(open_file(path, decoder=decoder), choose, roi)


def sample_frames(
    frames: Iterable[Frame],
    shrink: Callable[[Image], Image],
    *,
    num_segments: int,
    sampling: Sampling,
    roi: Roi | None = None,
) -> Clip:
    """The same for frames that the app has. All of them are held until the last one is known, so
    each is shrunk on arrival.
    """
    choose = chooser(sampling, num_segments, None)
    check_roi(roi)
    held = [Frame(shrink(cut_roi(frame.image, roi)), frame.pts_s) for frame in frames]
    times = FrameTimes.from_pts([frame.pts_s for frame in held])
    indices = choose(times)
    return _clip({i: held[i].image for i in indices.tolist()}, indices, indices, times)


def chooser(sampling: Sampling, num_segments: int, seed: int | None) -> Choose:
    """A function of the frame times; called again it makes the same random draws."""
    check_sampling(sampling)
    if not (isinstance(num_segments, int) and num_segments >= 1):
        raise ValueError(f"num_segments is {num_segments!r}: must be a whole number, 1 or more")
    if seed is None and sampling == "random":
        seed = int(np.random.default_rng().integers(2**63))
    return lambda times: choose_indices(sampling, times.pts_s, times.end_s, num_segments, seed)


def _read_clip(file: VideoFile, choose: Choose, roi: Roi | None) -> Clip:
    """Decode once where the container tells the truth about its frames, twice where it does not:
    which frames to take depends on how many there are.
    """
    expected = file.expected_times()
    images, times = _read_frames(file, choose(expected) if expected else np.empty(0, int), roi)
    if expected is not None and file.damaged and len(times.pts_s) < len(expected.pts_s):
        return _clip_around_damage(file, expected, times, choose, roi)
    indices = choose(times)
    if not set(indices.tolist()) <= images.keys():
        images = _read_again(file, indices, times, roi)
    return _clip(images, indices, indices, times)


def _clip_around_damage(
    file: VideoFile, expected: FrameTimes, decoded: FrameTimes, choose: Choose, roi: Roi | None
) -> Clip:
    """Lost frames keep their place in time: the nearest that decodes stands in for them. What is
    lost behind the last that decodes is not there to be sampled.
    """
    kept_s = expected.pts_s[expected.pts_s < decoded.end_s - 1e-6]
    expected = FrameTimes(kept_s, decoded.end_s)
    wanted = _nearest(decoded.pts_s, expected.pts_s[choose(expected)])
    images = _read_again(file, wanted, decoded, roi)
    return _clip(images, wanted, _nearest(expected.pts_s, decoded.pts_s[wanted]), decoded)


def _nearest(times_s: NDArray[np.float64], wanted_s: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.abs(times_s[None] - wanted_s[:, None]).argmin(1)


def _read_again(
    file: VideoFile, indices: NDArray[np.int64], times: FrameTimes, roi: Roi | None
) -> dict[int, Image]:
    images, again = _read_frames(file, indices, roi)
    if len(again.pts_s) != len(times.pts_s):
        raise VideoError(
            f"{file.name}: gives {len(times.pts_s)} frames, then {len(again.pts_s)}: "
            "it is damaged, or changing"
        )
    return images


def _read_frames(
    file: VideoFile, wanted: NDArray[np.int64], roi: Roi | None
) -> tuple[dict[int, Image], FrameTimes]:
    """The wanted frames, all of the first frame's size, and the times of all frames."""
    images: dict[int, Image] = {}
    size: tuple[int, int] | None = None
    pts_s: list[float] = []
    for index, picture in enumerate(file.pictures()):
        pts_s.append(picture.pts_s)
        if size is None or index in wanted:
            image = picture.to_image()
            size = size or image.shape[:2]
            images[index] = cut_roi(with_size(image, size), roi)
    return images, FrameTimes.from_pts(pts_s)


def _clip(
    images: dict[int, Image],
    decoded: NDArray[np.int64],
    frame_indices: NDArray[np.int64],
    times: FrameTimes,
) -> Clip:
    return Clip(
        images=np.stack([images[i] for i in decoded.tolist()]),
        frame_indices=frame_indices,
        pts_s=times.pts_s[decoded],
        start_s=0.0,
        end_s=times.end_s,
    )
