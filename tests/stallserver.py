"""A camera on loopback for stream tests: MJPEG over HTTP that behaves as the mode says.

live: frames for ever, each with its number as a barcode. close: 10 frames, then the server hangs
up. flaky: the same, and the next connection goes on at 10, 20, ... stall: 10 frames, then silence.
never: accepts the connection and never answers. black: as live, but from frame 10 on all are equal.
"""

from __future__ import annotations

import io
import queue
import random
import socket
import threading
import time
from contextlib import suppress

import numpy as np
from barcode import make_frame
from numpy.typing import NDArray
from PIL import Image

HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"


class Camera:
    """`with Camera("live") as camera:` serves at camera.url until the block ends.

    opened: the times of the connections. sent: the number of the last frame sent.
    inject: "stall" (the connection goes silent), "close", "garbage" (frames that are none, for half
    a second) or "resize" happens to whoever is connected now, at the next frame.
    """

    def __init__(self, mode: str, fps: float = 25, port: int = 0) -> None:
        self._mode, self._fps = mode, fps
        self.opened: list[float] = []
        self.sent = -1
        self.size = (160, 120)
        self._base = 0
        self._over = threading.Event()
        self._faults: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/camera.mjpg"

    def inject(self, fault: str) -> None:
        self._faults.put(fault)

    def __enter__(self) -> Camera:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        with suppress(OSError):  # wakes who accepts, and holds the port until then
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.opened.append(time.monotonic())
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                if self._mode == "never":
                    self._over.wait()
                    return
                connection.recv(4096)
                connection.sendall(HEADER)
                self._send_frames(connection)
            except OSError:
                pass  # the client has gone

    def _send_frames(self, connection: socket.socket) -> None:
        start = time.monotonic()
        index = garbage = 0
        while not self._over.is_set():
            fault = "" if self._faults.empty() else self._faults.get()
            if fault == "stall" or (index == 10 and self._mode == "stall"):
                self._wait_for_another(len(self.opened))
                return
            if fault == "close" or (index == 10 and self._mode in ("close", "flaky")):
                self._base += 10 if self._mode == "flaky" else 0
                return
            if fault == "garbage":
                garbage = max(1, round(self._fps / 2))
            if fault == "resize":
                self.size = (320, 240) if self.size == (160, 120) else (160, 120)
            number = self._base + (min(index, 10) if self._mode == "black" else index)
            part = random.randbytes(3000) if garbage else self._jpeg(number)
            garbage = max(0, garbage - 1)
            head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
            connection.sendall(head + part + b"\r\n")
            self.sent = number
            index += 1
            self._over.wait(max(0.0, start + index / self._fps - time.monotonic()))

    def _wait_for_another(self, connections: int) -> None:
        while not self._over.wait(0.05) and len(self.opened) == connections:
            pass

    def _jpeg(self, number: int) -> bytes:
        return as_jpeg(make_frame(number % 1024, *self.size))


def as_jpeg(image: NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=80)
    return data.getvalue()
