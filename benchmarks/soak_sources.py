"""What the soak reads: a camera, an app's frames and a recording, with faults."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

from ppsdk import Frame

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from barcode import make_frame  # noqa: E402
from stallserver import Camera  # noqa: E402

__all__ = ["AppFrames", "Camera", "joined_recording"]

APP_FPS = 10.0


class AppFrames:
    """What an app hands over, stamped by a clock that somebody sets."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._offset_s = 1000.0

    def inject(self, kind: str) -> None:
        self._offset_s += 90.0 if kind == "clock forward" else -300.0

    def frames(self) -> Iterator[Frame]:
        index, start_s = 0, time.monotonic()
        self._offset_s += 1e6
        while not self.over.wait(1 / APP_FPS):
            now_s = time.monotonic() - start_s
            yield Frame(make_frame(index % 1024, 160, 120), now_s + self._offset_s)
            index += 1


def joined_recording(folder: Path) -> Path:
    """3 s, then 3 s of another size from the same start."""
    file = folder / "joined.ts"
    parts = [_part(folder / "part.ts", size) for size in ((160, 120), (320, 240))]
    file.write_bytes(b"".join(parts))
    return file


def _part(path: Path, size: tuple[int, int]) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(75):
            image = make_frame(index, *size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()
