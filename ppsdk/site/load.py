"""From a site's file to its setup, or to all that is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.model import Precision, file_sha256, read_facts
from ppsdk.site.cameras import CameraSetup, read_cameras
from ppsdk.site.checks import Surroundings
from ppsdk.site.lines import Place, read_toml
from ppsdk.site.problems import Problems, SiteError
from ppsdk.site.reading import Reading
from ppsdk.site.schema import SiteTable
from ppsdk.site.sinks import SinkSetup, read_sinks


@dataclass(frozen=True)
class ModelSetup:
    """What a running site cannot change. facts: of the model in folder. sha256: of its model.xml,
    which names that of model.bin.
    """

    folder: Path
    facts: ModelFacts = field(repr=False)
    sha256: str
    precision: Precision
    threads: int | None
    timeout_s: float


@dataclass(frozen=True)
class Site:
    """What a site's file says, checked, with the secrets that it refers to."""

    file: Path
    model: ModelSetup
    cameras: tuple[CameraSetup, ...]
    sinks: tuple[SinkSetup, ...]


def load_site(
    file: Path, *, state_dir: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Site:
    """Paths in the file start from its folder; those of what the site writes from state_dir, where
    that is given. Nothing is opened or connected to. Raises SiteError with all problems.
    """
    values, lines = _read(file)
    folder = file.absolute().parent
    state = folder if state_dir is None else state_dir.absolute()
    around = Surroundings(folder, state, environ, _facts(folder, values.get("model")))
    reading = Reading(around, Problems(file, lines))
    top = reading.table(SiteTable, (), values)
    cameras = read_cameras(reading, values, top)
    sinks = read_sinks(reading, values.get("sinks"), cameras)
    reading.problems.raise_all()
    assert top is not None and isinstance(around.model, ModelFacts)
    return Site(file, _model(top, folder / top.model, around.model), tuple(cameras), tuple(sinks))


def _read(file: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SiteError([f"{file}: cannot read it ({what})"]) from None
    try:
        return read_toml(text)
    except RecursionError:
        raise SiteError([f"{file}:1: no TOML: its values are nested too deeply"]) from None
    except ValueError as error:
        found = re.fullmatch(
            r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error)
        )
        what, line, column = found.groups() if found else (str(error), None, None)
        where = line or str(text.count("\n") + 1)
        told = f" (column {column})" if column else ""
        raise SiteError([f"{file}:{where}: no TOML: {what}{told}"]) from None


def _model(top: SiteTable, folder: Path, facts: ModelFacts) -> ModelSetup:
    sha256 = file_sha256(folder / "model.xml")
    return ModelSetup(folder, facts, sha256, top.precision, top.threads, top.timeout_s)


def _facts(folder: Path, model: object) -> ModelFacts | ModelError:
    try:
        return read_facts(folder / model) if isinstance(model, str) else ModelError("no model")
    except ModelError as error:
        return error
