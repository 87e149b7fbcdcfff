"""What a value of a site's file has to be beside its type: files that are there, labels that the
model has, no secrets. Each raises ValueError without showing what may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationInfo

from ppsdk.errors import ModelError
from ppsdk.facts import ModelFacts
from ppsdk.polygon import check_polygon
from ppsdk.preprocess import check_roi
from ppsdk.sinks.mqtt import broker_of
from ppsdk.sinks.secrets import read_secret
from ppsdk.sinks.webhook import origin_of
from ppsdk.sources import check_source
from ppsdk.sources.credentials import without_credentials

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Surroundings:
    """folder: of the site's file, from which paths in it start; state: from which those of what it
    writes do. model: what it says of itself, or why it does not.
    """

    folder: Path
    state: Path
    environ: Mapping[str, str]
    model: ModelFacts | ModelError


def check_model(value: str, info: ValidationInfo) -> str:
    model = _around(info).model
    if isinstance(model, ModelError):
        raise ValueError(str(model))
    return value


def check_name(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"name is {value!r}: must have characters that can be printed only")
    return value


def check_camera_url(value: str, info: ValidationInfo) -> str:
    _refuse_secrets(value, "user_env and password_env beside it, or the whole as url_env")
    check_source(camera_source(value, _around(info).folder))
    return value


def camera_source(url: str, folder: Path) -> str:
    """An address, the index of a camera, or the path of a file."""
    return url if "://" in url or url.isdecimal() else str(folder / url)


def check_webhook(value: str) -> str:
    _refuse_secrets(value, "token_env beside it, or the whole as url_env")
    origin_of(value)
    return value


def check_broker(value: str) -> str:
    _refuse_secrets(value, "user_env and password_env beside it")
    broker_of(value)
    return value


def check_readable(value: str, info: ValidationInfo) -> str:
    file = _around(info).folder / value
    try:
        file.open("rb").close()
    except OSError as error:
        raise ValueError(f"{file}: cannot read it ({error.strerror})") from None
    return value


def check_written_file(value: str, info: ValidationInfo) -> str:
    file = _around(info).state / value
    if not file.parent.is_dir():
        raise ValueError(f"{file}: there is no folder {file.parent}")
    if file.is_dir():
        raise ValueError(f"{file}: is a folder, must be a file")
    return value


def check_written_folder(value: str, info: ValidationInfo) -> str:
    folder = _around(info).state / value
    there = [path for path in (folder, *folder.parents) if os.path.exists(path)][:1]
    if there and not there[0].is_dir():
        raise ValueError(f"{there[0]}: is a file, must be a folder")
    return value


def check_longest(value: float, info: ValidationInfo) -> float:
    pre_s = info.data.get("pre_s")  # None where that is wrong itself
    if pre_s is not None and value <= pre_s:
        raise ValueError(f"longest_s is {value}: must be more than pre_s, {pre_s}")
    return value


def check_label_of(value: str, info: ValidationInfo) -> str:
    check_label(value, _around(info))
    return value


def check_label(label: str, around: Surroundings) -> None:
    model = around.model
    if isinstance(model, ModelFacts) and label not in model.labels:
        raise ValueError(f"no label {label!r}: the model has {', '.join(model.labels[:20])}")


def check_roi_of(value: list[float]) -> list[float]:
    check_roi(tuple(value))  # type: ignore[arg-type]
    return value


def check_polygon_of(value: list[list[float]]) -> list[list[float]]:
    check_polygon(value)
    return value


def check_variable(value: str, info: ValidationInfo) -> str:
    secret_of_variable(value, _around(info))
    return value


def check_secret_file(value: str, info: ValidationInfo) -> str:
    secret_of_file(value, _around(info))
    return value


def secret_of_variable(name: str, around: Surroundings) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("must be the name of an environment variable, not the secret itself")
    secret = read_secret(name, environ=around.environ)
    if secret is None:
        raise ValueError("there is no such environment variable, or it is empty")
    return secret


def secret_of_file(name: str, around: Surroundings) -> str:
    try:
        secret = (around.folder / name).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"cannot read that file: {reason}") from None
    if not secret:
        raise ValueError("that file is empty")
    return secret


def _refuse_secrets(url: str, instead: str) -> None:
    # Without its slashes it would be taken for a file, and shown.
    if re.search(":.*@", url) or ("://" in url and without_credentials(url) != url):
        raise ValueError(f"has a user, a password or a token in it: give {instead}")


def _around(info: ValidationInfo) -> Surroundings:
    assert isinstance(info.context, Surroundings)
    return info.context
