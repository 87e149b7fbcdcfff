"""What may be in a site's file: each table with its keys, and in words what each of them takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ppsdk.event_options import Smoothing
from ppsdk.site.checks import (
    check_broker,
    check_camera_url,
    check_label_of,
    check_longest,
    check_model,
    check_name,
    check_polygon_of,
    check_readable,
    check_roi_of,
    check_secret_file,
    check_variable,
    check_webhook,
    check_written_file,
    check_written_folder,
)
from ppsdk.thinning import DAY_S

# Tables within tables are looked at one by one: what is wrong in one hides nothing in others.
Tables = list[dict[str, Any]]
Keys = dict[str, Any]
Name = Annotated[str, AfterValidator(check_name)]
File = Annotated[str, AfterValidator(check_readable)]
# Written by the site: its folder has to be there.
Written = Annotated[str, AfterValidator(check_written_file)]
Folder = Annotated[str, AfterValidator(check_written_folder)]
# Where a secret is; `<key>_env` and `<key>_file` of a key that does not go into the file itself.
Variable = Annotated[str, AfterValidator(check_variable)]
SecretFile = Annotated[str, AfterValidator(check_secret_file)]
CameraUrl = Annotated[str, AfterValidator(check_camera_url)]
WebhookUrl = Annotated[str, AfterValidator(check_webhook)]
BrokerUrl = Annotated[str, AfterValidator(check_broker)]
Label = Annotated[str, AfterValidator(check_label_of)]
SECRET = "the name of an environment variable"
SECRET_FILE = "a file with nothing else in it"


def _above_0(default: float | None, *, most: float, unit: str) -> Any:
    told = f"a number of {unit}, more than 0 and at most {most:.0f}"
    return Field(default, gt=0, le=most, allow_inf_nan=False, description=told)


def _seconds(default: float | None = None) -> Any:
    return _above_0(default, most=DAY_S, unit="seconds")


def _from_0_s() -> Any:
    told = "a number of seconds, 0 or more"
    return Field(None, ge=0, allow_inf_nan=False, description=told)


def _roll_s() -> Any:
    told = "a number of seconds, 0 to 600"
    return Field(5.0, ge=0, le=600, allow_inf_nan=False, description=told)


def _score() -> Any:
    return Field(None, ge=0, le=1, allow_inf_nan=False, description="a number from 0 to 1")


def _flag() -> Any:
    return Field(False, description="true or false")


def _variable() -> Any:
    return Field(None, description=SECRET)


def _secret_file() -> Any:
    return Field(None, description=SECRET_FILE)


def _pem() -> Any:
    return Field(None, description="a PEM file")


class Table(BaseModel):
    """A table of the file. Nothing is converted: a number in quotes is no number."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ClassTable(Table):
    """Options of one class, by name."""

    on_threshold: float | None = _score()
    off_threshold: float | None = _score()
    min_duration_s: float | None = _from_0_s()
    merge_gap_s: float | None = _from_0_s()
    cooldown_s: float | None = _from_0_s()
    max_duration_s: float | None = _seconds()


class EventsTable(ClassTable):
    """[events] of all cameras, [cameras.events] of one: see `EventOptions`."""

    smoothing: Smoothing | None = Field(None, description='"none", "mean" or "ema"')
    smoothing_windows: int | None = Field(None, ge=1, description="a whole number, 1 or more")
    update_interval_s: float | None = _from_0_s()
    background: list[Label] | None = Field(None, description="a list of labels of the model")
    unknown_below: float | None = _score()
    independent: bool | None = Field(None, description="true or false")
    per_window: bool | None = Field(None, description="true or false")
    per_class: dict[str, Keys] = Field({}, description="tables, each named by a label of the model")


class CameraTable(Table):
    """[[cameras]]: a camera, or a file that stands for one."""

    name: Name = Field(description="a name of its own, without control characters")
    url: CameraUrl | None = Field(
        None, description="an rtsp:// or http:// address, the index of a camera, or a file"
    )
    url_env: Variable | None = _variable()
    url_file: SecretFile | None = _secret_file()
    user_env: Variable | None = _variable()
    user_file: SecretFile | None = _secret_file()
    password_env: Variable | None = _variable()
    password_file: SecretFile | None = _secret_file()
    length_s: float | None = _seconds()
    stride_s: float | None = _seconds()
    roi: Annotated[list[float], AfterValidator(check_roi_of)] | None = Field(
        None, description="[x0, y0, x1, y1], fractions of the picture, x0 < x1 and y0 < y1"
    )
    polygon: Annotated[list[list[float]], AfterValidator(check_polygon_of)] | None = Field(
        None, description="three points [x, y] or more, fractions of the picture, 0 to 1"
    )
    still_below: float | None = _above_0(None, most=255, unit="grey levels")
    fps: float | None = _above_0(None, most=1000, unit="pictures a second")
    realtime: bool = _flag()
    events_file: File | None = Field(None, description="a file as `ppsdk tune` writes it")
    events: Keys = Field({}, description="a table of event options")


class LinesTable(Table):
    """[sinks.jsonl] and [sinks.csv]."""

    path: Written = Field(description="a file that can be appended to")
    rotate_mb: float | None = _above_0(None, most=1e6, unit="megabytes")
    rotate_daily: bool = _flag()
    fsync: bool = _flag()


class WebhookTable(Table):
    """[sinks.webhook]."""

    url: WebhookUrl | None = Field(None, description="https://HOST[:PORT]/PATH, or http://")
    url_env: Variable | None = _variable()
    url_file: SecretFile | None = _secret_file()
    secret_env: Variable | None = _variable()
    secret_file: SecretFile | None = _secret_file()
    token_env: Variable | None = _variable()
    token_file: SecretFile | None = _secret_file()
    ca_file: File | None = _pem()
    timeout_s: float = _seconds(10.0)


class MqttTable(Table):
    """[sinks.mqtt]."""

    url: BrokerUrl | None = Field(None, description="mqtts://HOST[:PORT][/PREFIX], or mqtt://")
    url_env: Variable | None = _variable()
    url_file: SecretFile | None = _secret_file()
    user_env: Variable | None = _variable()
    user_file: SecretFile | None = _secret_file()
    password_env: Variable | None = _variable()
    password_file: SecretFile | None = _secret_file()
    ca_file: File | None = _pem()
    cert_file: File | None = _pem()
    key_file: File | None = _pem()
    key_password_env: Variable | None = _variable()
    key_password_file: SecretFile | None = _secret_file()
    timeout_s: float = _seconds(10.0)


class SpoolTable(Table):
    """[sinks.spool]: what webhook and broker have not taken yet waits there."""

    path: Folder = Field("spool", min_length=1, description="a folder, which is made")
    max_mb: float = _above_0(100.0, most=1e6, unit="megabytes")
    max_age_days: float = _above_0(7.0, most=3650, unit="days")
    fsync: bool = _flag()


class ClipsTable(Table):
    """[sinks.clips]: see `ClipOptions`."""

    # A clip that is as long as is usual may be too short for what it begins with.
    model_config = ConfigDict(validate_default=True)

    path: Folder = Field(min_length=1, description="a folder, which is made")
    pre_s: float = _roll_s()
    post_s: float = _roll_s()
    longest_s: Annotated[float, AfterValidator(check_longest)] = _seconds(300.0)
    fps: float = _above_0(15.0, most=60, unit="pictures a second")
    max_height: int = Field(720, ge=16, le=4320, description="a whole number, 16 to 4320")
    overlay: bool = _flag()
    budget_mb: float = _above_0(10_000.0, most=1e8, unit="megabytes")


class SinksTable(Table):
    """[sinks]: where events go."""

    stdout: bool = _flag()
    jsonl: Keys | None = Field(None, description="a table with a path")
    csv: Keys | None = Field(None, description="a table with a path")
    webhook: Keys | None = Field(None, description="a table with a url")
    mqtt: Keys | None = Field(None, description="a table with a url")
    clips: Keys | None = Field(None, description="a table with a path")
    spool: Keys = Field({}, description="a table of bounds")


class SiteTable(Table):
    """The file itself."""

    model: Annotated[str, AfterValidator(check_model)] = Field(
        description="a folder written by `ppsdk convert`"
    )
    precision: Literal["f32", "bf16", "f16"] = Field("f32", description='"f32", "bf16" or "f16"')
    threads: int | None = Field(None, ge=1, le=1024, description="a whole number, 1 to 1024")
    timeout_s: float = _seconds(10.0)
    length_s: float | None = _seconds()
    stride_s: float | None = _seconds()
    events_file: File | None = Field(None, description="a file as `ppsdk tune` writes it")
    events: Keys = Field({}, description="a table of event options")
    cameras: Tables = Field(min_length=1, description="one table [[cameras]] or more")
    sinks: Keys = Field(description="a table with one sink or more")
