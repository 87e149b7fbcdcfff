"""`python -m ppsdk` is `ppsdk`."""

import os
import sys
import threading

from ppsdk.cli import main


def run() -> None:
    code = main()
    if any(thread.name == "ppsdk reader" for thread in threading.enumerate()):
        # A camera's thread, in the middle of a read: FFmpeg asks Python for the time now and then,
        # and crashes where it has ended.
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
