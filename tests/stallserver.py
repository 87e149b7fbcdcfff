"""A camera on loopback for stream tests: MJPEG over HTTP that behaves as the mode says.

live: frames for ever, each with its number as a barcode. close: 10 frames, then the server hangs
up. stall: 10 frames, then silence. never: accepts the connection and never answers.
"""

from __future__ import annotations

import io
import socket
import threading
import time

from barcode import make_frame
from PIL import Image

HEADER = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"


class Camera:
    """`with Camera("live") as camera:` serves at camera.url until the block ends."""

    def __init__(self, mode: str, fps: float = 25) -> None:
        self._mode, self._fps = mode, fps
        self._over = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/camera.mjpg"

    def __enter__(self) -> Camera:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._server.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
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
        index = 0
        while not self._over.is_set():
            if index == 10 and self._mode == "stall":
                self._over.wait()
            if index == 10 and self._mode == "close":
                return
            data = io.BytesIO()
            Image.fromarray(make_frame(index % 1024, 160, 120)).save(data, "JPEG", quality=80)
            part = data.getvalue()
            head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
            connection.sendall(head + part + b"\r\n")
            index += 1
            self._over.wait(max(0.0, start + index / self._fps - time.monotonic()))
