"""The sinks of a site's file. One of each kind; a new kind is a setup of its own here, or in a file
beside this one, and a table in schema.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from ppsdk.sinks import Certificates, CsvFile, JsonLines, Remote, Sink, Spool, Spooled, StdoutLines
from ppsdk.sinks.mqtt import Mqtt, broker_of
from ppsdk.sinks.webhook import Webhook, origin_of
from ppsdk.site.cameras import CameraSetup
from ppsdk.site.clips import read_clips
from ppsdk.site.lines import Place
from ppsdk.site.reading import Reading, Values
from ppsdk.site.schema import LinesTable, MqttTable, SinksTable, SpoolTable, WebhookTable
from ppsdk.thinning import DAY_S

_MB = 1_000_000


class SinkSetup(Protocol):
    """What is opened, and compared when the file changes."""

    @property
    def kind(self) -> str: ...

    def open(self, going_on: Collection[str]) -> Sink:
        """going_on: ids of events that have not ended, whatever the sink's file says. Raises
        OSError or ValueError in one line.
        """


@dataclass(frozen=True)
class StdoutSetup:
    kind: Literal["stdout"] = "stdout"

    def open(self, going_on: Collection[str]) -> Sink:
        return StdoutLines()


@dataclass(frozen=True)
class LinesSetup:
    kind: Literal["jsonl", "csv"]
    path: Path
    max_bytes: int | None
    daily: bool
    fsync: bool

    def open(self, going_on: Collection[str]) -> Sink:
        kind = JsonLines if self.kind == "jsonl" else CsvFile
        return kind(
            self.path,
            fsync=self.fsync,
            max_bytes=self.max_bytes,
            daily=self.daily,
            going_on=going_on,
        )


@dataclass(frozen=True)
class SpoolSetup:
    folder: Path
    max_bytes: int
    max_age_s: float
    fsync: bool

    def open(self, kind: str, going_on: Collection[str]) -> Spool:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Spool(
            self.folder / f"{kind}.db",
            max_bytes=self.max_bytes,
            max_age_s=self.max_age_s,
            fsync=self.fsync,
            going_on=going_on,
        )


@dataclass(frozen=True)
class WebhookSetup:
    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    token: str | None = field(repr=False)
    timeout_s: float
    spool: SpoolSetup
    certificates: Certificates | None = None
    kind: Literal["webhook"] = "webhook"

    def open(self, going_on: Collection[str]) -> Sink:
        def webhook() -> Remote:
            return Webhook(
                self.url,
                secret=self.secret,
                token=self.token,
                certificates=self.certificates,
                timeout_s=self.timeout_s,
            )

        return _spooled(self.spool.open(self.kind, going_on), webhook)


@dataclass(frozen=True)
class MqttSetup:
    url: str = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    timeout_s: float
    spool: SpoolSetup
    certificates: Certificates | None = None
    kind: Literal["mqtt"] = "mqtt"

    def open(self, going_on: Collection[str]) -> Sink:
        def mqtt() -> Remote:
            return Mqtt(
                self.url,
                user=self.user,
                password=self.password,
                certificates=self.certificates,
                timeout_s=self.timeout_s,
            )

        return _spooled(self.spool.open(self.kind, going_on), mqtt)


def read_sinks(
    reading: Reading, values: object, cameras: Collection[CameraSetup]
) -> list[SinkSetup]:
    """Those that nothing is wrong with."""
    place: Place = ("sinks",)
    table = reading.table(SinksTable, place, values)
    given = values if isinstance(values, dict) else {}
    found: list[SinkSetup | None] = [StdoutSetup() if given.get("stdout") is True else None]
    found += [_lines(reading, "jsonl", given), _lines(reading, "csv", given)]
    spool = _spool(reading, given)
    found += [_webhook(reading, given, spool), _mqtt(reading, given, spool)]
    found += [read_clips(reading, given, cameras)]
    if table is not None and not set(table.model_fields_set) - {"spool", "stdout"}:
        if not table.stdout:
            kinds = ", ".join(kind for kind in SinksTable.model_fields if kind != "spool")
            reading.problems.tell(place, f": there is none: must be one or more of {kinds}")
    paths = [sink.path for sink in found if isinstance(sink, LinesSetup)]
    if len(paths) > len(set(paths)):
        reading.problems.tell((*place, "csv", "path"), ": is that of jsonl: must be its own")
    return [sink for sink in found if sink is not None]


def _lines(reading: Reading, kind: Literal["jsonl", "csv"], given: Values) -> LinesSetup | None:
    table = reading.table(LinesTable, ("sinks", kind), given.get(kind))
    if table is None:
        return None
    max_bytes = None if table.rotate_mb is None else max(1, round(table.rotate_mb * _MB))
    path = reading.around.state / table.path
    return LinesSetup(kind, path, max_bytes, table.rotate_daily, table.fsync)


def _spool(reading: Reading, given: Values) -> SpoolSetup | None:
    table = reading.table(SpoolTable, ("sinks", "spool"), given.get("spool", {}))
    if table is None:
        return None
    return SpoolSetup(
        folder=reading.around.state / table.path,
        max_bytes=max(1, round(table.max_mb * _MB)),
        max_age_s=table.max_age_days * DAY_S,
        fsync=table.fsync,
    )


def _webhook(reading: Reading, given: Values, spool: SpoolSetup | None) -> WebhookSetup | None:
    place: Place = ("sinks", "webhook")
    table = reading.table(WebhookTable, place, given.get("webhook"))
    if table is None:
        return None
    _need(reading, place, "httpx", extra="webhook")
    url = _address(reading, table, place, origin_of)
    secret = reading.referred(table, "secret")
    token = reading.referred(table, "token")
    certificates = _certificates(reading, place, ca_file=table.ca_file)
    if url is None or spool is None:
        return None
    return WebhookSetup(url, secret, token, table.timeout_s, spool, certificates)


def _mqtt(reading: Reading, given: Values, spool: SpoolSetup | None) -> MqttSetup | None:
    place: Place = ("sinks", "mqtt")
    table = reading.table(MqttTable, place, given.get("mqtt"))
    if table is None:
        return None
    _need(reading, place, "paho", extra="mqtt")
    url = _address(reading, table, place, broker_of)
    user = reading.referred(table, "user")
    password = reading.referred(table, "password")
    certificates = _certificates(
        reading,
        place,
        ca_file=table.ca_file,
        cert_file=table.cert_file,
        key_file=table.key_file,
        key_password=reading.referred(table, "key_password"),
    )
    if url is None or spool is None:
        return None
    return MqttSetup(url, user, password, table.timeout_s, spool, certificates)


def _certificates(
    reading: Reading,
    place: Place,
    *,
    ca_file: str | None,
    cert_file: str | None = None,
    key_file: str | None = None,
    key_password: str | None = None,
) -> Certificates | None:
    """None where there are none, or something is wrong with them, which is told."""
    if not (ca_file or cert_file or key_file):
        return None
    ca_path, cert_path, key_path = (
        None if name is None else reading.around.folder / name
        for name in (ca_file, cert_file, key_file)
    )
    try:
        certificates = Certificates(ca_path, cert_path, key_path, key_password)
        certificates.context()
    except ValueError as error:
        reading.problems.tell(place, f": {error}")
        return None
    return certificates


def _address(
    reading: Reading,
    table: WebhookTable | MqttTable,
    place: Place,
    check: Callable[[str], object],
) -> str | None:
    """The url; one that is referred to has not been looked at yet."""
    url = reading.referred(table, "url")
    if url is None:
        return None
    try:
        check(url)
    except ValueError as error:
        reading.problems.tell((*place, "url_env" if table.url_env else "url_file"), f": {error}")
        return None
    return url


def _need(reading: Reading, place: Place, package: str, *, extra: str) -> None:
    if importlib.util.find_spec(package) is None:
        reading.problems.tell(place, f": needs {package}: pip install 'ppsdk[{extra}]'")


def _spooled(spool: Spool, open_remote: Callable[[], Remote]) -> Sink:
    try:
        return Spooled(spool, open_remote())
    except BaseException:
        spool.close()
        raise
