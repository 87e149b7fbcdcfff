"""[sinks.webhook] and [sinks.mqtt] of a site's file, and [sinks.spool] before them."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ppsdk.sinks import Certificates, Remote, Spool, Spooled
from ppsdk.sinks.mqtt import Mqtt, broker_of
from ppsdk.sinks.webhook import Webhook, check_token, origin_of
from ppsdk.site.lines import Place
from ppsdk.site.reading import Reading, Values
from ppsdk.site.schema import MqttTable, SpoolTable, WebhookTable
from ppsdk.thinning import DAY_S

_MB = 1_000_000


@dataclass(frozen=True)
class CertificatesSetup:
    """sha256: of what is in the files, which are renewed under their names."""

    files: Certificates
    sha256: str


@dataclass(frozen=True)
class WebhookSetup:
    url: str = field(repr=False)
    secret: str | None = field(repr=False)
    token: str | None = field(repr=False)
    timeout_s: float
    certificates: CertificatesSetup | None = None

    def open(self) -> Webhook:
        return Webhook(
            self.url,
            secret=self.secret,
            token=self.token,
            certificates=None if self.certificates is None else self.certificates.files,
            timeout_s=self.timeout_s,
        )


@dataclass(frozen=True)
class MqttSetup:
    url: str = field(repr=False)
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)
    timeout_s: float
    certificates: CertificatesSetup | None = None

    def open(self) -> Mqtt:
        return Mqtt(
            self.url,
            user=self.user,
            password=self.password,
            certificates=None if self.certificates is None else self.certificates.files,
            timeout_s=self.timeout_s,
        )


@dataclass(frozen=True)
class SpoolSetup:
    folder: Path
    max_bytes: int
    max_age_s: float
    fsync: bool

    def file(self, kind: str) -> Path:
        return self.folder / f"{kind}.db"

    def open(self, kind: str, going_on: Collection[str]) -> Spool:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Spool(
            self.file(kind),
            max_bytes=self.max_bytes,
            max_age_s=self.max_age_s,
            fsync=self.fsync,
            going_on=going_on,
        )


@dataclass(frozen=True)
class SpooledSetup:
    """A peer, and the spool that it gets its records from."""

    kind: Literal["webhook", "mqtt"]
    remote: WebhookSetup | MqttSetup
    spool: SpoolSetup

    @property
    def file(self) -> Path:
        return self.spool.file(self.kind)

    def open(self, going_on: Collection[str]) -> Spooled:
        spool = self.spool.open(self.kind, going_on)
        try:
            remote: Remote = self.remote.open()
            return Spooled(spool, remote)
        except BaseException:
            spool.close()
            raise


def read_remotes(reading: Reading, given: Values) -> list[SpooledSetup]:
    """given: the table [sinks]. Those that nothing is wrong with."""
    spool = _spool(reading, given)
    webhook, mqtt = _webhook(reading, given), _mqtt(reading, given)
    found = []
    if webhook is not None and spool is not None:
        found.append(SpooledSetup("webhook", webhook, spool))
    if mqtt is not None and spool is not None:
        found.append(SpooledSetup("mqtt", mqtt, spool))
    return found


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


def _webhook(reading: Reading, given: Values) -> WebhookSetup | None:
    place: Place = ("sinks", "webhook")
    _need(reading, place, given, "httpx")
    table = reading.table(WebhookTable, place, given.get("webhook"))
    if table is None:
        return None
    url = _address(reading, table, place, origin_of)
    secret = reading.referred(table, "secret")
    token = _token(reading, table, place)
    certificates = _certificates(reading, place, ca_file=table.ca_file)
    return None if url is None else WebhookSetup(url, secret, token, table.timeout_s, certificates)


def _token(reading: Reading, table: WebhookTable, place: Place) -> str | None:
    token = reading.referred(table, "token")
    try:
        if token is not None:
            check_token(token)
    except ValueError as error:
        key = "token_env" if table.token_env else "token_file"
        reading.problems.tell((*place, key), f": {error}")
    return token


def _mqtt(reading: Reading, given: Values) -> MqttSetup | None:
    place: Place = ("sinks", "mqtt")
    _need(reading, place, given, "paho")
    table = reading.table(MqttTable, place, given.get("mqtt"))
    if table is None:
        return None
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
    return None if url is None else MqttSetup(url, user, password, table.timeout_s, certificates)


def _certificates(
    reading: Reading,
    place: Place,
    *,
    ca_file: str | None,
    cert_file: str | None = None,
    key_file: str | None = None,
    key_password: str | None = None,
) -> CertificatesSetup | None:
    """None where there are none, or something is wrong with them, which is told."""
    if not (ca_file or cert_file or key_file):
        return None
    ca_path, cert_path, key_path = (
        None if name is None else reading.around.folder / name
        for name in (ca_file, cert_file, key_file)
    )
    try:
        files = Certificates(ca_path, cert_path, key_path, key_password)
        files.context()
    except ValueError as error:
        reading.problems.tell(place, f": {error}")
        return None
    content = b"".join(p.read_bytes() for p in (ca_path, cert_path, key_path) if p is not None)
    return CertificatesSetup(files, hashlib.sha256(content).hexdigest())


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


def _need(reading: Reading, place: Place, given: Values, package: str) -> None:
    kind = str(place[-1])
    if kind in given and importlib.util.find_spec(package) is None:
        reading.problems.tell(place, f": needs {package}: pip install 'ppsdk[{kind}]'")
