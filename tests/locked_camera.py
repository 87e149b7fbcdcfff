"""A camera on loopback that wants to know who asks (HTTP, Basic)."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from barcode import make_frame
from numpy.typing import NDArray
from stallserver import as_jpeg


class LockedCamera:
    """`with LockedCamera("user:password") as camera:` serves MJPEG at camera.url to who says that.

    asked: what those who came said, in clear; "" for nothing. images: what it shows, 25 a second,
    again and again; barcodes unless given.
    """

    def __init__(self, credentials: str, images: Sequence[NDArray[np.uint8]] = ()) -> None:
        images = images or [make_frame(number, 160, 120) for number in range(100)]
        self._parts = [as_jpeg(image) for image in images]
        self.asked: list[str] = []
        self._over, owner = threading.Event(), self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                coded = self.headers.get("Authorization", "").removeprefix("Basic ")
                owner.asked.append(base64.b64decode(coded).decode())
                if owner.asked[-1] == credentials:
                    owner._send_frames(self)
                    return
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/camera.mjpg"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def _send_frames(self, handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
        handler.end_headers()
        start_s, number = time.monotonic(), 0
        try:
            while not self._over.wait(max(0.0, start_s + number / 25 - time.monotonic())):
                part = self._parts[number % len(self._parts)]
                head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(part)
                handler.wfile.write(head + part + b"\r\n")
                number += 1
        except OSError:
            pass  # the client has gone

    def __enter__(self) -> LockedCamera:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
