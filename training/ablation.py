"""What each part of the recipe is worth: python -m training.ablation DATA OUT --init BACKBONE

Trains one network a row and a seed, and notes each in OUT/ablation.csv; runs that are noted there
are not run again. Ends with the table, as Markdown.
"""

from __future__ import annotations

import csv
import hashlib
import json
import statistics
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from ppsdk.errors import ModelError
from ppsdk.result_files import write_whole
from training.data import read_clip_sets
from training.learners import STATE_FILE
from training.memory import keep_freed_memory
from training.recipe import Recipe, read_recipe
from training.state import digest_of
from training.train import train

COLUMNS = ("row", "seed", "top1", "clips", "seconds")
SHIFTS = {
    "none": (),
    "1": (1,),
    "2": (2,),
    "3": (3,),
    "4": (4,),
    "1, 2": (1, 2),
    "3, 4": (3, 4),
    "all": (1, 2, 3, 4),
}
# Top-1 on Kinetics-400 in per cent, from PP-TSMv2's description in PaddleVideo.
PAPER_SHIFTS = {"1": 69.84, "2": 69.84, "3": 70.02, "4": 69.98}
PAPER_SHIFTS |= {"1, 2": 69.77, "3, 4": 70.05, "all": 70.06}


@dataclass(frozen=True)
class Row:
    """changes: to the recipe given. paper: what its authors report, absolute or as a gain."""

    name: str
    paper: str
    changes: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = True


PLAIN = {"videomix_alpha": 0.0, "shift_stages": (), "lta": False, "num_segments": 8, "dml": "none"}
MIXED = PLAIN | {"videomix_alpha": 0.2}
SHIFTED = MIXED | {"shift_stages": (3,)}
LONGER = SHIFTED | {"num_segments": 16}
ROWS = (
    Row("baseline: no pretraining, 8 frames", "69.06", PLAIN, pretrained=False),
    Row("+ pretraining", "+0.89", PLAIN),
    Row("+ VideoMix, shift before no stage", "+0.3", MIXED),
    *(
        Row(
            f"+ shift before stage {name}", f"{PAPER_SHIFTS[name]:.2f}", MIXED | {"shift_stages": s}
        )
        for name, s in SHIFTS.items()
        if s
    ),
    Row("+ 16 frames, shift before stage 3", "+0.72", LONGER),
    Row("+ DML with itself", "+1.28", LONGER | {"dml": "self"}),
    Row("+ DML with the teacher", "+2.20", LONGER | {"dml": "peer"}),
    Row("+ LTA (without DML)", "+0.78", LONGER | {"lta": True}),
    Row("all of it", "75.16", LONGER | {"lta": True, "dml": "peer"}),
)


def run_rows(
    data: Path, out: Path, recipe: Recipe, *, init: Path | None, seeds: int, rows: tuple[Row, ...]
) -> Path:
    """Returns ablation.csv. Rows that need pretraining are left out where there is no init.

    Raises ModelError where `out` has rows of other clips, of another recipe or from other weights.
    """
    out.mkdir(parents=True, exist_ok=True)
    _refuse_other_rows(out / "asked.json", data, recipe, init)
    notes = out / "ablation.csv"
    done = {(note["row"], int(note["seed"])) for note in read_notes(notes)}
    for seed in range(seeds):  # a whole table first, then what makes it surer
        for row in rows:
            if (row.name, seed) in done or (row.pretrained and init is None):
                continue
            started = time.perf_counter()
            changed = replace(recipe, seed=seed, **row.changes)
            if not row.pretrained:  # there is nothing to keep
                changed = replace(changed, frozen_stages=0, frozen_norms=False)
            folder = out / f"{_slug(row.name)}-{seed}"
            weights = init if row.pretrained else None
            trained = train(data, folder, changed, init=weights, cache=out / "cache")
            top1 = trained.history[-1].top1  # not the best of many looks at the held-out clips
            seconds = round(time.perf_counter() - started)
            _note(notes, (row.name, seed, f"{top1:.4f}", trained.confusion.sum(), seconds))
            for large in (folder / STATE_FILE, *folder.glob("*.safetensors")):
                large.unlink()  # of 45 runs they would take 4 GB; curves and logs stay
    return notes


def _refuse_other_rows(file: Path, data: Path, recipe: Recipe, init: Path | None) -> None:
    """file: what the rows that are there were asked for. Weights may come later than rows that need
    none.
    """
    sets = read_clip_sets(data, length_s=recipe.length_s, background=recipe.background)
    clips = [
        (clip.name, clip.label, clip.path.stat().st_size, clip.span_s, clip.roi, clip.split)
        for clip in sets.train + sets.held_out
    ]
    asked = {
        "clips": hashlib.sha256(repr(clips).encode()).hexdigest()[:12],
        "recipe": json.dumps(asdict(recipe) | {"seed": 0}),
        "init": "" if init is None else digest_of(init),
    }
    if not file.exists() and read_notes(file.with_name("ablation.csv")):
        raise ModelError(f"{file.parent}: has rows of an earlier version: choose another folder")
    made = json.loads(file.read_text("utf-8")) if file.exists() else asked
    asked["init"] = asked["init"] or made["init"]
    made["init"] = made["init"] or asked["init"]
    others = [name for name in asked if made[name] != asked[name]]
    if others:
        raise ModelError(
            f"{file.parent}: its rows are of other {', '.join(others)}: choose another folder"
        )
    write_whole(file, json.dumps(asked, indent=1) + "\n")


def _slug(name: str) -> str:
    """A row's name as a folder's."""
    return "-".join("".join(c if c.isalnum() else " " for c in name).split())


def read_notes(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def as_table(notes: list[dict[str, str]], rows: tuple[Row, ...] = ROWS) -> str:
    """Markdown: mean and spread over the seeds that were run."""
    lines = ["| | top-1 here, % | seeds | paper, Kinetics-400 |", "|---|---|---|---|"]
    for row in rows:
        values = [100 * float(note["top1"]) for note in notes if note["row"] == row.name]
        if values:
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            here = f"{statistics.mean(values):.1f}{spread}"
        else:
            here = "not run"
        lines.append(f"| {row.name} | {here} | {len(values)} | {row.paper} |")
    return "\n".join(lines)


def _note(file: Path, values: tuple[Any, ...]) -> None:
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerow(values)


@click.command(help=__doc__)
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--init", type=click.Path(path_type=Path), help="Written by `ppsdk pretrain`.")
@click.option("--recipe", "recipe_file", type=click.Path(path_type=Path))
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", multiple=True, help="A row's name, or a part of it; all unless given.")
def main(
    data: Path,
    out: Path,
    init: Path | None,
    recipe_file: Path | None,
    seeds: int,
    only: tuple[str, ...],
) -> None:
    keep_freed_memory()
    rows = tuple(row for row in ROWS if not only or any(part in row.name for part in only))
    try:
        recipe = Recipe() if recipe_file is None else read_recipe(recipe_file)
        notes = run_rows(data, out, recipe, init=init, seeds=seeds, rows=rows)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(as_table(read_notes(notes)))


if __name__ == "__main__":
    main()
