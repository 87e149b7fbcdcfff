"""Teach the bundled model other actions, from ten clips of each.

With --clips FOLDER (one folder a class) they are yours; without, four actions on a rendered bench.
"""

import argparse
import logging
from pathlib import Path

from converters.convert import ConvertOptions, convert
from ppsdk import Recognizer
from ppsdk.demo.run import BUNDLED
from ppsdk.manifest import VIDEO_SUFFIXES
from training.recipe import Recipe
from training.scenes import film_own_actions
from training.train import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, help="folder with one folder a class")
    parser.add_argument("--out", type=Path, default=Path("own-actions"))
    parser.add_argument("--epochs", type=int, default=25)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    clips = args.clips
    if clips is None:
        clips = args.out / "clips"
        film_own_actions(clips, range(12))  # of which every fifth is held out: 10 to learn from

    recipe = Recipe(
        epochs=args.epochs,
        batch_size=8,
        peak_rate=2e-3,
        optimizer="adamw",
        weight_decay=0.02,
        frozen_stages=2,
        num_segments=8,
        image_size=112,
        length_s=2.0,
    )
    init = BUNDLED / "work_cell.safetensors"
    try:
        done = train(clips, args.out / "trained", recipe, init=init)
    except ValueError as error:  # clips that cannot be read, or another training in that folder
        raise SystemExit(f"error: {error}") from None
    last, count = done.history[-1].top1, done.confusion.sum()
    print(f"{last:.0%} of {count} held-out clips are right after the last epoch")

    model = args.out / "model"
    convert(done.best_weights, model, ConvertOptions(force=True))
    clip = next(path for path in sorted(clips.rglob("*")) if path.suffix.lower() in VIDEO_SUFFIXES)
    with Recognizer(model) as recognizer:
        scores = recognizer.classify(clip)
        print(f"{clip.parent.name}/{clip.name}: {scores.label} {scores.score:.2f}")


if __name__ == "__main__":
    main()
