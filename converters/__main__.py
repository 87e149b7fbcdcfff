"""`python -m converters` is `ppsdk convert`."""

import sys

from ppsdk.cli import main

if __name__ == "__main__":
    sys.exit(main(["convert", *sys.argv[1:]], prog_name="python -m converters"))
