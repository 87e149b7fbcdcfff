"""From a file to the frames that stand for it: what classify, calibration and training share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ppsdk.errors import VideoError
from ppsdk.preprocess import check_roi, cut_roi
from ppsdk.records import Clip, Frame, Image, Roi
from ppsdk.sampling import Sampling, check_sampling, choose_indices
from ppsdk.sources import Decoder, VideoFile, open_file
from ppsdk.sources.protocol import FrameTimes, with_size
from ppsdk.thinning import ROUNDED_S

Choose = Callable[[FrameTimes], NDArray[np.int64]]
Keep = Callable[[int, Image], None]


@dataclass(frozen=True, eq=False)
class Chosen:
    """decoded: int64, indices among the frames that decode, in the order of what was chosen.
    frame_indices: the same among all frames, lost ones too. times: of those that decode.
    """

    decoded: NDArray[np.int64]
    frame_indices: NDArray[np.int64]
    times: FrameTimes


def sample_clip(
    path: str | os.PathLike[str],
    *,
    num_segments: int = 16,
    sampling: Sampling = "full",
    seed: int | None = None,
    roi: Roi | None = None,
    span_s: tuple[float, float] | None = None,
    decoder: Decoder = "auto",
) -> Clip:
    """Sample a video file, without a model.

    sampling: "full" takes the frame nearest the centre of each of num_segments equal segments by
    time; "paddlevideo" follows the reference's evaluation rule to the frame; "random" takes a
    random frame of each segment, the same for the same seed.
    roi: (x0, y0, x1, y1) in fractions of the picture, cut out first. span_s: (start, end), seconds
    from the first frame: only this part of the file, up to the file's end.
    Returns a Clip with images uint8 (num_segments, H, W, 3) RGB.
    Raises VideoError for a file that gives no frames, ValueError for an argument out of range.
    """
    choose = chooser(sampling, num_segments, seed)
    check_roi(roi)
    if span_s is not None:
        choose = _within(span_s, choose, str(path))
    images: dict[int, Image] = {}
    chosen = read_chosen(path, choose, images.__setitem__, roi=roi, decoder=decoder)
    return _clip(images, chosen, span_s)


def sample_spans(
    path: str | os.PathLike[str],
    spans_s: Sequence[tuple[float, float] | None],
    shrink: Callable[[Image], Image],
    *,
    num_segments: int,
    sampling: Sampling = "full",
    roi: Roi | None = None,
    move_inside: bool = False,
) -> list[Clip | VideoError]:
    """`sample_clip` of several parts of a file that is decoded once; None is all of it. Images are
    shrunk as they come, for those of many parts do not fit into memory. A part in which there is
    no frame is its error. Raises VideoError for a file that gives none at all.

    move_inside: a part whose middle is in the file, but not its end, is moved back, as windows are
    that a network learns from: what is shorter would be seen at another pace.
    """
    choose = chooser(sampling, num_segments, None)
    check_roi(roi)
    spans = [*spans_s]
    of_spans: list[NDArray[np.int64] | VideoError] = []

    def choose_all(times: FrameTimes) -> NDArray[np.int64]:
        if move_inside:
            spans[:] = [span and _moved_inside(span, times.end_s) for span in spans_s]
        of_span = [choose if span is None else _within(span, choose, str(path)) for span in spans]
        of_spans[:] = [_chosen_or_error(choose_own, times) for choose_own in of_span]
        found = [indices for indices in of_spans if not isinstance(indices, VideoError)]
        return np.concatenate([np.empty(0, np.int64), *found])

    images: dict[int, Image] = {}

    def keep(index: int, image: Image) -> None:
        images[index] = shrink(image)

    chosen = read_chosen(path, choose_all, keep, roi=roi)
    clips: list[Clip | VideoError] = []
    start = 0
    for span_s, indices in zip(spans, of_spans, strict=True):
        if isinstance(indices, VideoError):
            clips.append(indices)
            continue
        part = slice(start, start + len(indices))
        start = part.stop
        own = Chosen(chosen.decoded[part], chosen.frame_indices[part], chosen.times)
        clips.append(_clip(images, own, span_s))
    return clips


def _chosen_or_error(choose: Choose, times: FrameTimes) -> NDArray[np.int64] | VideoError:
    try:
        return choose(times)
    except VideoError as error:
        return error


def _moved_inside(span_s: tuple[float, float], end_s: float) -> tuple[float, float]:
    start_s, stop_s = span_s
    if (start_s + stop_s) / 2 < end_s < stop_s:
        start_s = max(0.0, end_s - (stop_s - start_s))
    return start_s, start_s + (span_s[1] - span_s[0])


def _within(span_s: tuple[float, float], choose: Choose, name: str) -> Choose:
    """The same choice among the frames that are shown within the span."""
    start_s, end_s = span_s
    if not 0 <= start_s < end_s:
        raise ValueError(f"span_s is {span_s}: must be 0 <= start < end, in seconds")

    def choose_within(times: FrameTimes) -> NDArray[np.int64]:
        early = times.pts_s + ROUNDED_S  # whoever wrote the span rounded times of frames
        inside = np.flatnonzero((start_s <= early) & (early < end_s))
        if not len(inside):
            raise VideoError(
                f"{name}: no frame from {start_s:g} s to {end_s:g} s: it ends at {times.end_s:g} s"
            )
        stop_s = min(end_s, times.end_s)
        return inside[choose(FrameTimes(times.pts_s[inside] - start_s, stop_s - start_s))]

    return choose_within


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
    images = {i: held[i].image for i in indices.tolist()}
    return _clip(images, Chosen(indices, indices, times))


def chooser(sampling: Sampling, num_segments: int, seed: int | None) -> Choose:
    """A function of the frame times; called again it makes the same random draws."""
    check_sampling(sampling)
    if not (isinstance(num_segments, int) and num_segments >= 1):
        raise ValueError(f"num_segments is {num_segments!r}: must be a whole number, 1 or more")
    if seed is None and sampling == "random":
        seed = int(np.random.default_rng().integers(2**63))
    return lambda times: choose_indices(sampling, times.pts_s, times.end_s, num_segments, seed)


def read_chosen(
    path: str | os.PathLike[str],
    choose: Choose,
    keep: Keep,
    *,
    roi: Roi | None = None,
    decoder: Decoder = "auto",
) -> Chosen:
    """Decode the frames that `choose` wants of a file, and hand each to `keep` with its index.

    choose: may be called twice, where the container does not tell the truth about its frames: which
    to take depends on how many there are; the last call counts. keep: is given each frame once, and
    maybe some that are not wanted in the end.
    """
    file = open_file(path, decoder=decoder)
    expected = file.expected_times()
    kept: set[int] = set()

    def keep_once(index: int, image: Image) -> None:
        if index not in kept:
            kept.add(index)
            keep(index, image)

    wanted = choose(expected) if expected else np.empty(0, np.int64)
    times = _read_frames(file, wanted, roi, keep_once)
    if expected is not None and file.damaged and len(times.pts_s) < len(expected.pts_s):
        return _around_damage(file, expected, times, choose, roi, keep_once)
    indices = choose(times)
    if not set(indices.tolist()) <= kept:
        _read_again(file, indices, times, roi, keep_once)
    return Chosen(indices, indices, times)


def _around_damage(
    file: VideoFile,
    expected: FrameTimes,
    decoded: FrameTimes,
    choose: Choose,
    roi: Roi | None,
    keep: Keep,
) -> Chosen:
    """Lost frames keep their place in time: the nearest that decodes stands in for them. What is
    lost behind the last that decodes is not there to be sampled.
    """
    kept_s = expected.pts_s[expected.pts_s < decoded.end_s - 1e-6]
    expected = FrameTimes(kept_s, decoded.end_s)
    wanted = _nearest(decoded.pts_s, expected.pts_s[choose(expected)])
    _read_again(file, wanted, decoded, roi, keep)
    return Chosen(wanted, _nearest(expected.pts_s, decoded.pts_s[wanted]), decoded)


def _nearest(times_s: NDArray[np.float64], wanted_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of rising times_s, the places of those nearest to wanted_s; of two as near, the earlier."""
    after = np.minimum(np.searchsorted(times_s, wanted_s), len(times_s) - 1)
    before = np.maximum(after - 1, 0)
    is_before = wanted_s - times_s[before] <= times_s[after] - wanted_s
    return np.where(is_before, before, after)


def _read_again(
    file: VideoFile, indices: NDArray[np.int64], times: FrameTimes, roi: Roi | None, keep: Keep
) -> None:
    again = _read_frames(file, indices, roi, keep)
    if len(again.pts_s) != len(times.pts_s):
        raise VideoError(
            f"{file.name}: gives {len(times.pts_s)} frames, then {len(again.pts_s)}: "
            "it is damaged, or changing"
        )


def _read_frames(
    file: VideoFile, wanted: NDArray[np.int64], roi: Roi | None, keep: Keep
) -> FrameTimes:
    """Keep the wanted frames, all of the first frame's size; returns the times of all frames."""
    chosen = set(wanted.tolist())
    size: tuple[int, int] | None = None
    pts_s: list[float] = []
    for index, picture in enumerate(file.pictures()):
        pts_s.append(picture.pts_s)
        if size is None or index in chosen:
            image = picture.to_image()
            size = size or image.shape[:2]
            keep(index, cut_roi(with_size(image, size), roi))
    return FrameTimes.from_pts(pts_s)


def _clip(
    images: dict[int, Image], chosen: Chosen, span_s: tuple[float, float] | None = None
) -> Clip:
    start_s, end_s = span_s or (0.0, chosen.times.end_s)
    return Clip(
        images=np.stack([images[i] for i in chosen.decoded.tolist()]),
        frame_indices=chosen.frame_indices,
        pts_s=chosen.times.pts_s[chosen.decoded],
        start_s=start_s,
        end_s=min(end_s, chosen.times.end_s),
    )
