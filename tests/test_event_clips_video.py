"""The pictures of a clip: sizes, what is written into them, and that browsers play them."""

import base64
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import av
import numpy as np
import pytest
from barcode import BLUE, MARKS, RED, colour, make_frame, read
from event_films import event, film, made, options, play, seen, told
from PIL import Image

from ppsdk import Frame
from ppsdk.sinks.clips import EventClips


def test_pictures_of_any_size(tmp_path):
    """Odd ones, and a camera that changes its own."""
    frames = [Frame(make_frame(i, 101, 77), i / 10) for i in range(30)]
    frames += [Frame(make_frame(i, 160, 120), i / 10) for i in range(30, 60)]
    with EventClips(tmp_path, options=options(max_height=64)) as clips:
        play(clips, frames, event(2.0, 3.0))
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == list(range(10, 51))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (84, 64)


def test_the_overlay_says_what_and_when(tmp_path):
    """Red while the event lasts, grey around it; the picture above stays."""
    start = told("start", 3.0, 3.1, start_time="2026-11-26T10:00:00+00:00")
    end = told("end", 3.0, 5.0, start_time="2026-11-26T10:00:00+00:00")
    with EventClips(tmp_path, options=options(overlay=True)) as clips:
        play(clips, film(100, width=320, height=240), [(4.0, start), (6.0, end)])
    ((path, _),) = made(tmp_path)
    assert path.name == "2026-11-26_10-00-00Z_fall_a.mp4"
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for number, image in enumerate(images, 20):
        assert read(image).index == number
        band = image[-14:, 120:150].reshape(-1, 3).mean(0)
        assert (band[0] > 150) == (30 <= number <= 50) and band[1:].max() < 100
        assert image[-14:].max() > 200  # letters
    assert np.abs(colour(images[0], MARKS[RED]) - RED).max() < 25
    assert np.abs(colour(images[0], MARKS[BLUE]) - BLUE).max() < 25


PAGE = """<script>
const video = document.createElement("video"), times = %s, told = [];
function look() {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  told.push(canvas.toDataURL().split(",")[1]);
  if (told.length < times.length) video.currentTime = times[told.length];
  else tell({seconds: video.duration, pictures: told});
}
function tell(what) { fetch("/told", {method: "POST", body: JSON.stringify(what)}); }
video.onerror = () => tell({error: video.error.message});
video.onseeked = look;
video.onloadeddata = () => { video.currentTime = times[0]; };
video.src = "data:video/mp4;base64,%s";
</script>"""


def shown_by_chromium(mp4, times, tmp_path):
    """What a page says that has the film: its length, and the pictures at some times."""
    page = PAGE % (json.dumps(times), base64.b64encode(mp4).decode())
    told = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self):
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *told):
            pass

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={tmp_path / 'profile'}"]
        process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return told.get(timeout=60)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its helpers too
            process.wait()
            server.shutdown()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group")
def test_a_browser_plays_it(tmp_path):
    """At second 2.55 of the clip, which begins with frame 20, frame 45 is shown."""
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100, width=160, height=120), event(3.0, 5.0))
    ((path, _),) = made(tmp_path)
    told = shown_by_chromium(path.read_bytes(), [0.05, 2.55, 5.05], tmp_path)
    assert told["seconds"] == pytest.approx(5.1, abs=0.05), told
    images = [
        np.asarray(Image.open(BytesIO(base64.b64decode(png))).convert("RGB"))
        for png in told["pictures"]
    ]
    assert [read(image).index for image in images] == [20, 45, 70]
    for image in images:
        for right, cell in MARKS.items():
            assert np.abs(colour(image, cell) - right).max() < 20
