"""Recognise actions in a camera, a URL or a file: python examples/webcam_stream.py --model DIR"""

import argparse
import json
import os
import sys

import cv2

from ppsdk import Recognizer, open_source
from ppsdk.demo.run import BUNDLED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=BUNDLED, help="folder of `ppsdk convert`; the demo's")
    parser.add_argument("--source", default="0", help="camera index, URL or file")
    parser.add_argument("--realtime", action="store_true", help="play a file as it was filmed")
    args = parser.parse_args()
    label = "..."

    def shown(source):
        """Pass the frames on, and show each of them with the latest label."""
        for frame in source:
            picture = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
            cv2.putText(picture, label, (10, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 255, 0), 2)
            cv2.imshow("ppsdk (q to quit)", picture)
            if cv2.waitKey(1) == ord("q"):
                return
            yield frame

    has_display = sys.platform in ("win32", "darwin") or "DISPLAY" in os.environ
    opened = open_source(args.source, realtime=args.realtime)
    with Recognizer(args.model) as recognizer, opened as source:
        for window in recognizer.windows(shown(source) if has_display else source):
            label = f"{window.label} {window.score:.2f}"
            told = {"label": window.label, "score": window.score, "start_s": window.start_s}
            print(json.dumps(told | {"end_s": window.end_s}), flush=True)


if __name__ == "__main__":
    main()
