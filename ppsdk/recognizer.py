"""The one class that an app builds: it joins the stages."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ppsdk.clips import sample_clip, sample_frames, sample_spans
from ppsdk.errors import ModelError, VideoError
from ppsdk.event_options import EventOptions
from ppsdk.events import detect_events
from ppsdk.facts import ModelFacts
from ppsdk.feed import Windowing
from ppsdk.memory import limit_arenas
from ppsdk.model import Network, Precision
from ppsdk.motion import MotionGate
from ppsdk.polygon import PolygonMask
from ppsdk.preprocess import check_roi, crop_for_model, cut_roi, view_of
from ppsdk.records import ActionEvent, Clip, Frame, Image, NoWindow, Roi, WindowScores
from ppsdk.sampling import Sampling, check_sampling
from ppsdk.sources import Decoder, LiveOptions, Source, SourceRef, open_source
from ppsdk.sources.protocol import OnStatus
from ppsdk.stream import Tap, window_clips
from ppsdk.stream_options import StreamOptions
from ppsdk.streams import Streams
from ppsdk.thinning import TIE_S, WindowGrid

log = logging.getLogger(__name__)

Item = TypeVar("Item")


class Stream(Iterator[Item]):
    """What comes of a source, item by item; closing it closes the source, read or not, from any
    thread. Whoever takes the items in another thread has the ends of what goes on before the last.

    closing: is looked at by the items before each window.
    """

    def __init__(
        self, source: Source, items: Generator[Item, None, None], closing: threading.Event
    ) -> None:
        self.source = source
        self._items, self._closing = items, closing
        self._taker: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Stream({self.source!r})"

    def __next__(self) -> Item:
        self._taker = threading.current_thread()
        return next(self._items)

    def close(self) -> None:
        self._closing.set()
        self.source.close()
        taker = self._taker
        if taker is None or taker is threading.current_thread() or not taker.is_alive():
            with contextlib.suppress(ValueError):  # called back while an item is being made
                self._items.close()

    def __enter__(self) -> Stream[Item]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Recognizer:
    """Recognise actions with a converted model; a context manager.

    model_dir: a folder written by `ppsdk convert`. device: an OpenVINO device. num_threads: CPU
    threads, all of them unless given. precision: "f32"; "bf16" or "f16" trade exactness for speed
    where the CPU has them. cache_dir: keeps the compiled model, for a faster next start.
    Raises ModelError for a missing, foreign or damaged model.
    It limits how many heaps the process has: see `memory.limit_arenas`.
    Safe to share between threads: each call gets its own answer.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        *,
        device: str = "CPU",
        num_threads: int | None = None,
        precision: Precision = "f32",
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        limit_arenas()
        self.model_dir = Path(model_dir)
        self._network: Network | None = Network(
            model_dir,
            device=device,
            num_threads=num_threads,
            precision=precision,
            cache_dir=cache_dir,
        )
        self.facts: ModelFacts = self._network.facts

    @property
    def labels(self) -> tuple[str, ...]:
        """The class names; a class id is a position in it."""
        return self.facts.labels

    @property
    def num_segments(self) -> int:
        """Frames that the model sees at once."""
        return self.facts.num_segments

    @property
    def precision_executed(self) -> str:
        """The floating-point precision that the device really uses."""
        return self._open_network().precision_executed

    def logits(self, crops: Image) -> NDArray[np.float32]:
        """uint8 (num_segments, size, size, 3) RGB, exactly what the network sees -> float32
        (classes,). Raises ValueError for another shape or dtype.
        """
        return self._open_network().logits(crops)

    def classify(
        self,
        path_or_frames: str | os.PathLike[str] | Iterable[Frame] | Iterable[Image],
        *,
        sampling: Sampling = "full",
        roi: Roi | None = None,
        span_s: tuple[float, float] | None = None,
        decoder: Decoder = "auto",
        fps: float | None = None,
    ) -> WindowScores:
        """One answer for a whole file, or for all the frames of an iterable.

        sampling: "full" (the whole clip, by time) or "paddlevideo" (the reference's rule).
        roi: (x0, y0, x1, y1) in fractions of the picture, cut out first. span_s: (start, end) of
        the part of a file that is meant, in seconds; the whole file unless given.
        decoder: for files, see `open_source`; fps: for bare arrays (1 unless given).
        Raises VideoError for a source that gives no frames, or has no end.
        """
        check_sampling(sampling, ("full", "paddlevideo"))
        if isinstance(path_or_frames, (str, os.PathLike)):
            clip = sample_clip(
                path_or_frames,
                num_segments=self.num_segments,
                sampling=sampling,
                roi=roi,
                span_s=span_s,
                decoder=decoder,
            )
        else:
            if span_s is not None:
                raise ValueError("span_s is for files: give the frames that are meant")
            with open_source(path_or_frames, fps=fps) as source:
                if source.live:
                    raise VideoError(
                        f"{source.name}: has no end: `windows` and `events` take those"
                    )
                clip = sample_frames(
                    source, self._crop, num_segments=self.num_segments, sampling=sampling, roi=roi
                )
            return self._scores(clip, self.logits(clip.images))
        crops = np.stack([self._crop(image) for image in clip.images])
        return self._scores(clip, self.logits(crops))

    def classify_spans(
        self,
        path: str | os.PathLike[str],
        spans_s: Sequence[tuple[float, float] | None],
        *,
        sampling: Sampling = "full",
        roi: Roi | None = None,
        move_inside: bool = False,
    ) -> list[WindowScores | VideoError]:
        """`classify` for several parts of a file, None for all of it, which is decoded once. A part
        in which there is no frame has its error. Raises VideoError for a file that gives none.
        move_inside: a part that reaches over the end of the file is moved back, not cut.
        """
        check_sampling(sampling, ("full", "paddlevideo"))
        read = sample_spans(
            path,
            spans_s,
            self._crop,
            num_segments=self.num_segments,
            sampling=sampling,
            roi=roi,
            move_inside=move_inside,
        )
        return [
            clip if isinstance(clip, VideoError) else self._scores(clip, self.logits(clip.images))
            for clip in read
        ]

    def windows(
        self,
        source: SourceRef,
        *,
        length_s: float | None = None,
        stride_s: float | None = None,
        roi: Roi | None = None,
        decoder: Decoder = "auto",
        fps: float | None = None,
        tap: Tap | None = None,
    ) -> Stream[WindowScores]:
        """Scores of window after window of a stream.

        source: as for `open_source`, or what that has opened (for time-outs, statuses, real time);
        fps: for bare arrays. length_s, stride_s: seconds, the model's own unless given; a length
        alone keeps the model's overlap; the stride is rounded to whole segments (length_s /
        num_segments). A file gives every window, a camera the newest one whenever the next is asked
        for. No window spans a gap.
        tap: sees every frame, as the source has it, and gives it on: see `EventClips.tap`.
        Raises VideoError when the source cannot be opened or read.
        """
        grid = self._grid(length_s, stride_s)
        check_roi(roi)
        opened = open_source(source, decoder=decoder, fps=fps)
        closing = threading.Event()
        windows = self._stream_windows(opened, grid, roi, tap, closing)
        return Stream(opened, _only_windows(windows), closing)

    def events(
        self,
        source: SourceRef,
        *,
        length_s: float | None = None,
        stride_s: float | None = None,
        roi: Roi | None = None,
        decoder: Decoder = "auto",
        fps: float | None = None,
        options: EventOptions | None = None,
        tap: Tap | None = None,
    ) -> Stream[ActionEvent]:
        """What happens in a stream, record by record: start, update, end.

        options: when scores are an event; unless given, neighbouring windows with the same label
        are one. The other arguments are those of `windows`. Live sources give wall-clock times as
        well; what goes on when a camera is lost ends then ("gap"), unless it is back within
        merge_gap_s. Raises ValueError for options that name labels that the model has not.
        """
        options = options or EventOptions()
        options.check_labels(self.labels)
        grid = self._grid(length_s, stride_s)
        check_roi(roi)
        opened = open_source(source, decoder=decoder, fps=fps)
        closing = threading.Event()
        events = detect_events(
            self._stream_windows(opened, grid, roi, tap, closing),
            labels=self.labels,
            options=options,
            source=opened.name,
            started_at=lambda: opened.started_at,
        )
        return Stream(opened, events, closing)

    def streams(
        self,
        sources: Iterable[SourceRef | StreamOptions],
        *,
        length_s: float | None = None,
        stride_s: float | None = None,
        still_below: float | None = None,
        live: LiveOptions | None = None,
        on_status: OnStatus | None = None,
        tap: Tap | None = None,
    ) -> Streams:
        """Windows of several streams in fair turns, as `StreamWindow(name, scores)`; use it as a
        context manager. `add` and `remove` change the streams, `statistics` says how each fares,
        `events` gives events instead.

        sources: each as for `windows`, or `StreamOptions` for what is its own: a name, a region of
        interest, a window, event options. All are opened and read in threads of their own,
        iterables too; an open source tells its own statuses. length_s, stride_s: as for `windows`.
        live: time-outs of cameras. still_below: grey levels, 0 to 255; a window that looks like the
        last one computed, to less than that, has its scores, and is counted (see `MotionGate`). Off
        unless given.
        on_status: called with each `StreamStatus`, in whichever thread it comes about.
        tap: as for `windows`, called once for each stream.

        A file gives every window. A camera gives the newest one at each of its turns: where time
        does not suffice for all, windows of all cameras come equally farther apart, which is told
        as "overloaded" and "relieved". A source that cannot be opened, or breaks for good, is told
        as "failed" and the others go on. It ends when no stream is left.
        Raises ValueError for two streams of one name, and for one source in place of several.
        """
        if isinstance(sources, (str, os.PathLike, Source, StreamOptions)):
            raise ValueError(f"sources is {sources!r}: must be a list of sources")
        grid = self._grid(length_s, stride_s)

        def new_windowing(own: StreamOptions) -> Windowing:
            if own.events is not None:
                own.events.check_labels(self.labels)
            cut = grid
            if own.length_s is not None or own.stride_s is not None:
                cut = self._grid(_own(own.length_s, length_s), _own(own.stride_s, stride_s))
            below = _own(own.still_below, still_below)
            gate = None if below is None else MotionGate(below)
            return Windowing(cut, self._shrink(own), self._stream_scorer(cut), gate)

        streams = Streams(new_windowing, live=live, on_status=on_status, tap=tap)
        try:
            for source in sources:
                streams.add(source)
        except BaseException:
            streams.close()
            raise
        return streams

    def __repr__(self) -> str:
        closed = ", closed" if self._network is None else ""
        of = f"{len(self.labels)} classes, {self.num_segments} frames, {self.facts.precision}"
        return f"Recognizer({str(self.model_dir)!r}: {of}{closed})"

    def close(self) -> None:
        """Free the compiled model; using the recognizer afterwards raises ModelError."""
        self._network = None

    def __enter__(self) -> Recognizer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stream_windows(
        self,
        source: Source,
        grid: WindowGrid,
        roi: Roi | None,
        tap: Tap | None,
        closing: threading.Event,
    ) -> Generator[WindowScores | NoWindow, None, None]:
        crop = partial(self._crop_roi, roi)
        read = window_clips(source, grid, crop, tap=tap, is_over=closing.is_set)
        with source, contextlib.closing(read) as clips:
            score = self._stream_scorer(grid)
            for clip in clips:
                if closing.is_set():
                    return
                yield clip if isinstance(clip, NoWindow) else score(clip)

    def _stream_scorer(self, grid: WindowGrid) -> Callable[[Clip], WindowScores]:
        """For the windows of one stream, in their order."""
        scorer = self._open_network().stream_scorer(stride_segments=grid.stride_segments)

        def score(clip: Clip) -> WindowScores:
            self._open_network()  # an error where the recognizer was closed meanwhile
            return self._scores(clip, scorer.logits(clip.images, clip.frame_indices))

        return score

    def _shrink(self, own: StreamOptions) -> Callable[[Image], Image]:
        crop = partial(self._crop_roi, own.roi)
        if own.polygon is None:
            return crop
        facts = self.facts
        sizes = {"image_size": facts.image_size, "short_side": facts.short_side}
        colour = [255 * value for value in facts.mean]
        mask = PolygonMask(own.polygon, partial(view_of, roi=own.roi, **sizes), colour=colour)

        def shrink(image: Image) -> Image:
            height, width = image.shape[:2]
            return mask.paint(crop(image), height=height, width=width)

        return shrink

    def _crop_roi(self, roi: Roi | None, image: Image) -> Image:
        return self._crop(cut_roi(image, roi))

    def _crop(self, image: Image) -> Image:
        return crop_for_model(
            image, image_size=self.facts.image_size, short_side=self.facts.short_side
        )

    def _scores(self, clip: Clip, logits: NDArray[np.float32]) -> WindowScores:
        return WindowScores(
            logits=logits,
            labels=self.labels,
            start_s=clip.start_s,
            end_s=clip.end_s,
            frame_indices=clip.frame_indices,
            partial=clip.partial,
            repeated=clip.repeated,
        )

    def _grid(self, length_s: float | None, stride_s: float | None) -> WindowGrid:
        grid = self.facts.grid(length_s, stride_s)
        if stride_s is not None and abs(grid.stride_s - stride_s) > TIE_S:
            log.warning(
                "stride_s %g is not a whole number of segments of %g s: using %g s",
                *(stride_s, grid.segment_s, grid.stride_s),
            )
        return grid

    def _open_network(self) -> Network:
        if self._network is None:
            raise ModelError(f"{self.model_dir}: the recognizer is closed")
        return self._network


def _only_windows(
    items: Generator[WindowScores | NoWindow, None, None],
) -> Generator[WindowScores, None, None]:
    with contextlib.closing(items):
        for item in items:
            if isinstance(item, WindowScores):
                yield item


def _own(value: float | None, of_all: float | None) -> float | None:
    return of_all if value is None else value
