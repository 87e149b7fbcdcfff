"""Where training runs, and how pictures get there while the one before is learned from."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from ppsdk.errors import ModelError
from ppsdk.preprocess import IMAGENET_MEAN, IMAGENET_STD
from ppsdk.records import Image

Item = TypeVar("Item")
Drawn = TypeVar("Drawn")
AHEAD = 2  # batches that wait, drawn, for the one that is learned from


@contextmanager
def enough_memory(batch_size: int, image_size: int) -> Iterator[None]:
    """ModelError that says what to lower, where a GPU's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        what = str(error).partition(".")[0]
        raise ModelError(
            f"{what}: lower batch_size ({batch_size}) or image_size ({image_size})"
        ) from None


def best_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def to_network(crops: Image, device: torch.device) -> Tensor:
    """uint8 (..., S, S, 3) RGB -> float32 (..., 3, S, S) on the device, normalised to the bit as
    `ppsdk.preprocess.normalize` does: a GPU is sent a quarter of the bytes that way.
    """
    pictures = torch.from_numpy(crops).to(device).float() / 255
    mean, std = pictures.new_tensor(IMAGENET_MEAN), pictures.new_tensor(IMAGENET_STD)
    return ((pictures - mean) / std).movedim(-1, -3).contiguous()


def ahead(draw: Callable[[Item], Drawn], items: Iterable[Item]) -> Iterator[Drawn]:
    """draw(item) of each item in turn, a little before it is asked for; in one thread, so that what
    is drawn at random stays in its order.
    """
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future[Drawn]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(draw, item))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
