"""Windows of a stream overlap: what they share is computed once, and kept.

Frames are known by their positions in the stream. A `CutNetwork` serves all streams; a
`StreamScorer` belongs to one of them, holds what is kept, and is for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ppsdk import cut
from ppsdk.facts import ModelFacts
from ppsdk.records import Image

# What the trunk gives, an array for each of its outputs: (frames, ...).
Features = list[NDArray[Any]]
Indices = NDArray[np.int64]
# Frames that go through the trunk at once: more are not quicker, and take more memory.
_AT_ONCE = 4
# The frame before, the frame, the frame after.
Three = tuple[int | None, ...]


class WindowScorer(Protocol):
    """Scores the windows of one stream."""

    def logits(self, crops: Image, frame_indices: Indices) -> NDArray[np.float32]:
        """uint8 (num_segments, S, S, 3) RGB, and int64 (num_segments,), the positions of these
        frames in the stream -> float32 (classes,).
        """


class CutNetwork:
    """The parts of a model, compiled. Raises ValueError, LookupError or RuntimeError, saying why,
    for one that cannot be cut.
    """

    def __init__(
        self, model: ov.Model, facts: ModelFacts, compiled: Callable[[ov.Model], ov.CompiledModel]
    ) -> None:
        cut.refuse_other_shifts(facts)
        self._model = model = cut.with_levels(model)
        self._facts = facts
        self._compiled = compiled
        self._trunk = compiled(cut.trunk(model, facts))
        self._end = compiled(cut.head(model, facts) if facts.has_lta else cut.tail(model))
        self._frame_heads: dict[int, ov.CompiledModel] = {}
        self._lock = Lock()

    def scorer(self, *, stride_segments: int) -> StreamScorer:
        """For a stream whose windows are so many segments apart. (With another stride its answers
        are as right, but may take longer.)
        """
        trunk, end = Part(self._trunk), Part(self._end)
        if self._facts.has_lta:
            return StreamScorer(trunk, WindowHead(end))
        # New neighbours have the frames that are new, the last one before them, and the first.
        num_rows = min(stride_segments + 2, self._facts.num_segments)
        return StreamScorer(trunk, FrameHead(Part(self._frame_head(num_rows)), num_rows, end))

    def _frame_head(self, num_rows: int) -> ov.CompiledModel:
        with self._lock:
            if num_rows not in self._frame_heads:
                self._frame_heads[num_rows] = self._compiled(
                    cut.frame_head(self._model, self._facts, num_rows=num_rows)
                )
            return self._frame_heads[num_rows]


class StreamScorer:
    """Scores the windows of one stream, in their order, as the uncut model does."""

    def __init__(self, trunk: Part, head: WindowHead | FrameHead) -> None:
        self._trunk = trunk
        self._head = head
        self._ring: FeatureRing | None = None
        self._first = 0

    def logits(self, crops: Image, frame_indices: Indices) -> NDArray[np.float32]:
        """Raises ValueError for a window before the last one: that is another stream."""
        indices = [int(index) for index in frame_indices]
        if indices[0] < self._first:
            raise ValueError(
                f"a window from frame {indices[0]} on comes after one from {self._first} on: a "
                "stream that starts anew needs a new scorer"
            )
        self._first = indices[0]
        if self._ring is None:
            self._ring = FeatureRing(len(indices), self._trunk.items)
        window = self._ring.window(indices, lambda run, out: self._trunk([crops[run]], out=out))
        return self._head.logits(window, indices)


class WindowHead:
    """With temporal attention, what becomes of a frame depends on all frames of the window."""

    def __init__(self, head: Part) -> None:
        self._head = head

    def logits(self, window: Features, indices: list[int]) -> NDArray[np.float32]:
        return self._head(window)[0][0].copy()


class FrameHead:
    """Without it, only on the frames before and after it, up to the mean over the window: of each
    such three the outcome is kept for as long as it is in the window.
    """

    def __init__(self, frames: Part, num_rows: int, tail: Part) -> None:
        self._frames = frames
        self._num_rows = num_rows
        self._tail = tail
        self._kept: dict[Three, NDArray[np.float32]] = {}

    def logits(self, window: Features, indices: list[int]) -> NDArray[np.float32]:
        # The ends of a window have zeros for a neighbour.
        around = [None, *indices, None]
        threes: list[Three] = list(zip(around, indices, around[2:], strict=False))
        kept = {three: self._kept[three] for three in threes if three in self._kept}
        missing = {three: row for row, three in enumerate(threes) if three not in kept}
        while missing:
            some = [missing.popitem() for _ in range(min(self._num_rows, len(missing)))]
            rows = np.zeros(self._num_rows, np.int32)
            rows[: len(some)] = [row for _, row in some]
            outcome = self._frames([*window, rows])[0].copy()
            kept |= {three: outcome[i] for i, (three, _) in enumerate(some)}
        self._kept = kept
        return self._tail([np.stack([kept[three] for three in threes])])[0][0].copy()


class FeatureRing:
    """Features of the frames in a stream's window.

    The window is a view into memory of twice its length, and moves along it, back to the start when
    it has come to the end: most frames stay where they are, and none is copied for the head.
    """

    def __init__(self, num_segments: int, items: Sequence[tuple[tuple[int, ...], Any]]) -> None:
        """items: shape and dtype of what there is of a frame, for each output of the trunk."""
        self._places = [np.empty((2 * num_segments, *shape), dtype) for shape, dtype in items]
        self._start = 0
        # Which frame is at which position of the window: None where there is nothing of use.
        self._held: list[int | None] = [None] * num_segments

    def window(self, indices: list[int], compute: Callable[[slice, Features], object]) -> Features:
        """The features of these frames, (num_segments, ...), valid until the next call.

        compute(positions, out) is called for frames that are not held, for each of them once.
        """
        self._move_on_to(indices)
        window = [places[self._start : self._start + len(indices)] for places in self._places]
        for run in _runs(self._missing(indices)):
            self._held[run] = [None] * (run.stop - run.start)
            compute(run, [places[run] for places in window])
            self._held[run] = indices[run]
        for position, index in enumerate(indices):
            if self._held[position] != index:
                for places in window:
                    places[position] = places[self._held.index(index)]
                self._held[position] = index
        return window

    def _move_on_to(self, indices: list[int]) -> None:
        """By as many positions as leave most frames where they are."""
        length = len(indices)
        steps = max(range(length + 1), key=lambda steps: _alike(self._held[steps:], indices))
        first, last = self._start + steps, self._start + length
        if first + length > 2 * length:
            for places in self._places:
                places[: last - first] = places[first:last]
            first = 0
        self._start = first
        self._held = [*self._held[steps:], *[None] * steps]

    def _missing(self, indices: list[int]) -> list[int]:
        """Where frames stand for the first time that are not where they should be."""
        there = {index for held, index in zip(self._held, indices, strict=True) if held == index}
        first = {index: position for position, index in reversed(list(enumerate(indices)))}
        return sorted(position for index, position in first.items() if index not in there)


class Part:
    """A compiled part of the model with a request of its own."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        # Shape, without the first axis, and dtype of each output.
        self.items = [
            (
                tuple(size.get_length() for size in list(output.get_partial_shape())[1:]),
                output.get_element_type().to_dtype(),
            )
            for output in compiled.outputs
        ]

    def __call__(self, inputs: list[NDArray[Any]], *, out: Features | None = None) -> Features:
        """Its outputs, which the next call overwrites; in `out` where that is given."""
        for i, place in enumerate(out or []):
            self._request.set_output_tensor(i, ov.Tensor(place, shared_memory=True))
        self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return [tensor.data for tensor in self._request.output_tensors]


def _alike(held: list[int | None], indices: list[int]) -> int:
    return sum(one == other for one, other in zip(held, indices, strict=False))


def _runs(positions: list[int]) -> list[slice]:
    """[0, 1, 5] -> [slice(0, 2), slice(5, 6)]; none of more than _AT_ONCE."""
    runs: list[slice] = []
    for position in positions:
        if runs and runs[-1].stop == position < runs[-1].start + _AT_ONCE:
            runs[-1] = slice(runs[-1].start, position + 1)
        else:
            runs.append(slice(position, position + 1))
    return runs
