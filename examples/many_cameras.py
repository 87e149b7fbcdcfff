"""Several cameras, one model, one process: python examples/many_cameras.py URL URL

Lines on stdin change them while they run: `add SOURCE`, `remove SOURCE`, `statistics`.
"""

import argparse
import json
import sys
import threading

from ppsdk import LiveOptions, Recognizer, StreamOptions
from ppsdk.demo.run import BUNDLED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+", help="camera indices, URLs or files")
    parser.add_argument("--model", default=BUNDLED, help="folder of `ppsdk convert`; the demo's")
    parser.add_argument("--realtime", action="store_true", help="play files as they were filmed")
    args = parser.parse_args()

    def tell(what):
        print(json.dumps(what.to_dict()), flush=True)

    def stream(source):
        return StreamOptions(source, realtime=args.realtime)

    def obey():
        for line in sys.stdin:
            command, _, source = line.strip().partition(" ")
            try:
                if command == "add":
                    streams.add(stream(source))
                elif command == "remove":
                    streams.remove(source)
                elif command == "statistics":
                    for fare in streams.statistics().values():
                        tell(fare)
            except ValueError as error:  # a name that is there already, or is not there
                print(error, file=sys.stderr)

    options = {"live": LiveOptions(wait=True), "on_status": tell}
    with Recognizer(args.model) as recognizer:
        with recognizer.streams(map(stream, args.sources), **options) as streams:
            threading.Thread(target=obey, daemon=True).start()
            for event in streams.events():
                tell(event)


if __name__ == "__main__":
    main()
