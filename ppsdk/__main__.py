"""`python -m ppsdk` is `ppsdk`."""

import sys

from ppsdk.cli import main


def run() -> None:
    sys.exit(main())


if __name__ == "__main__":
    run()
