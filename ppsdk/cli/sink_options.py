"""The options of `run` that say where events go, beside stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ppsdk.cli.numbers import ABOVE_0, FROM_0
from ppsdk.cli.shared import PATH, need
from ppsdk.cli.stderr import fail, tell

if TYPE_CHECKING:
    from ppsdk.sinks import Remote, Sink, Sinks
    from ppsdk.sinks.clips import EventClips
    from ppsdk.stream import Tap

Command = TypeVar("Command", bound=Callable[..., Any])
Opened = TypeVar("Opened")
_META = "ppsdk.sink."
# Of which sinks options are.
_OF_SINKS = {
    ("jsonl", "csv"): ("rotate_mb", "rotate_daily"),
    ("jsonl", "csv", "webhook", "mqtt"): ("fsync",),
    ("webhook",): ("webhook_ca",),
    ("mqtt",): ("mqtt_ca", "mqtt_cert", "mqtt_key"),
    ("webhook", "mqtt"): ("spool", "spool_mb", "spool_days"),
    ("clips",): ("clips_pre_s", "clips_post_s", "clips_budget_mb", "clips_overlay"),
}


def _keep(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Aside, for `open_sinks`."""
    context.meta[f"{_META}{option.name}"] = value


def _option(name: str, **settings: Any) -> Callable[[Command], Command]:
    return click.option(name, expose_value=False, callback=_keep, **settings)


OPTIONS = (
    _option("--jsonl", type=PATH, help="Also append the events to this file."),
    _option("--csv", type=PATH, help="Also append them to this one, a row each."),
    _option("--rotate-mb", type=ABOVE_0, help="Largest such file."),
    _option("--rotate-daily", is_flag=True, help="A new file each day (UTC)."),
    _option("--fsync", is_flag=True, help="Records outlive a loss of power too; takes its time."),
    _option(
        "--webhook",
        metavar="URL",
        envvar="PPSDK_WEBHOOK_URL",
        show_envvar=True,
        help="POST each to this address. Secrets: PPSDK_WEBHOOK_SECRET (to sign with) and "
        "PPSDK_WEBHOOK_TOKEN (bearer), or the same with _FILE for a file that has it.",
    ),
    _option("--webhook-ca", type=PATH, help="PEM of who signed the web server's certificate."),
    _option(
        "--mqtt",
        metavar="mqtt[s]://HOST[:PORT][/PREFIX]",
        envvar="PPSDK_MQTT_URL",
        show_envvar=True,
        help="Publish each as PREFIX/SOURCE/events. Secrets: PPSDK_MQTT_USER, PPSDK_MQTT_PASSWORD "
        "and PPSDK_MQTT_KEY_PASSWORD, or the same with _FILE.",
    ),
    _option("--mqtt-ca", type=PATH, help="PEM of who signed the broker's certificate."),
    _option("--mqtt-cert", type=PATH, help="PEM of a certificate to show to the broker."),
    _option("--mqtt-key", type=PATH, help="PEM of its key, unless that is in it."),
    _option(
        "--spool",
        type=PATH,
        default=Path("ppsdk-spool"),
        show_default=True,
        help="Folder for what a webhook or broker has not taken yet.",
    ),
    _option(
        "--spool-mb",
        type=ABOVE_0,
        default=100.0,
        show_default=True,
        help="Most of it, for each of them: the oldest give way.",
    ),
    _option(
        "--spool-days",
        type=ABOVE_0,
        default=7.0,
        show_default=True,
        help="For how long it is kept.",
    ),
    _option("--clips", type=PATH, metavar="DIR", help="Film each event into this folder."),
    _option(
        "--clips-pre-s",
        type=FROM_0,
        default=5.0,
        show_default=True,
        help="Seconds of film before an event.",
    ),
    _option(
        "--clips-post-s",
        type=FROM_0,
        default=5.0,
        show_default=True,
        help="Seconds behind it.",
    ),
    _option(
        "--clips-budget-mb",
        type=ABOVE_0,
        default=10_000,
        show_default=True,
        help="Of all films; the oldest give way.",
    ),
    _option("--clips-overlay", is_flag=True, help="Write label and time into the film."),
)


def sink_options(command: Command) -> Command:
    """All of OPTIONS; `open_sinks` does what they say."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def open_sinks(look_back_s: float) -> Sinks:
    """look_back_s: of clips, see `ClipOptions`. Raises ValueError or OSError, in one line, for what
    cannot be; nothing stays open then.
    """
    from ppsdk.sinks import CsvFile, JsonLines, Sinks

    context = click.get_current_context()
    meta = context.meta
    given = {name[len(_META) :]: meta[name] for name in meta if name.startswith(_META)}
    _refuse_idle(context, given)
    rotate_mb: float | None = given["rotate_mb"]
    max_bytes = None if rotate_mb is None else max(1, round(rotate_mb * 1e6))
    daily: bool = given["rotate_daily"]
    fsync: bool = given["fsync"]
    sinks: list[Sink] = []
    with ExitStack() as opened:
        if given["jsonl"]:
            sinks.append(JsonLines(given["jsonl"], fsync=fsync, max_bytes=max_bytes, daily=daily))
            opened.enter_context(sinks[-1])
        if given["csv"]:
            sinks.append(CsvFile(given["csv"], fsync=fsync, max_bytes=max_bytes, daily=daily))
            opened.enter_context(sinks[-1])
        for name, open_remote in (("webhook", _webhook), ("mqtt", _mqtt)):
            if given[name]:
                sinks.append(_spooled(name, given, open_remote))
                opened.enter_context(sinks[-1])
        if given["clips"]:
            sinks.append(opened.enter_context(_clips(given, look_back_s)))
        fan = Sinks(sinks)
        opened.pop_all()
    return fan


def tap_of(sinks: Sinks) -> Tap | None:
    """What the streams are to be given: None where no sink wants their frames."""
    from ppsdk.sinks.clips import EventClips

    return next((sink.tap for sink in sinks.sinks if isinstance(sink, EventClips)), None)


@contextmanager
def told_at_ctrl_c(
    opened: AbstractContextManager[Opened],
    sinks_of: Callable[[Opened], Sinks],
    *,
    statistics: bool,
) -> Iterator[Opened]:
    """Ctrl-C is how a camera is usually ended: what its sinks lost is told then, too."""
    entered: list[Opened] = []
    try:
        with opened as it:
            entered.append(it)
            yield it
    except KeyboardInterrupt:
        for it in entered:
            tell_sinks(sinks_of(it), statistics=statistics)
        raise


def tell_sinks(sinks: Sinks, *, statistics: bool) -> bool:
    """After `close`: whether a sink lost anything, which stderr says; with statistics, a JSON line
    for each sink too. What waits in a spool is not lost.
    """
    from ppsdk.sinks import spool_counts
    from ppsdk.sinks.clips import clip_counts

    lost = False
    for sink in sinks.sinks:
        counts = sinks.counts()[sink.name]
        told = {"sink": sink.name, **asdict(counts)}
        spool = spool_counts(sink)
        if spool is not None:
            told["spool"] = asdict(spool)
        clips = clip_counts(sink)
        if clips is not None:
            told["clips"] = asdict(clips)
        if statistics:
            tell("sink", told)
        if counts.failed or counts.dropped:
            lost = True
            fail(f"{sink.name}: {counts.failed + counts.dropped} records are lost", 1)
        if clips is not None and clips.failed:
            lost = True
            fail(f"{sink.name}: {clips.failed} events have no clip", 1)
    return lost


def _refuse_idle(context: click.Context, given: dict[str, Any]) -> None:
    """An option of a sink that is not there does nothing, which nobody means."""
    for sinks, options in _OF_SINKS.items():
        for name in options:
            asked = context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
            if asked and not any(given[sink] for sink in sinks):
                needed = " or ".join(f"--{sink}" for sink in sinks)
                raise click.UsageError(f"--{name.replace('_', '-')} is for {needed}: give that too")


def _spooled(
    name: str, given: dict[str, Any], open_remote: Callable[[dict[str, Any]], Remote]
) -> Sink:
    from ppsdk.sinks import Spool, Spooled
    from ppsdk.thinning import DAY_S

    folder: Path = given["spool"]
    folder.mkdir(parents=True, exist_ok=True)
    spool = Spool(
        folder / f"{name}.db",
        max_bytes=max(1, round(given["spool_mb"] * 1e6)),
        max_age_s=given["spool_days"] * DAY_S,
        fsync=given["fsync"],
    )
    try:
        return Spooled(spool, open_remote(given))
    except BaseException:
        spool.close()
        raise


def _clips(given: dict[str, Any], look_back_s: float) -> EventClips:
    from ppsdk.sinks.clips import ClipOptions, EventClips

    options = ClipOptions(
        pre_s=given["clips_pre_s"],
        post_s=given["clips_post_s"],
        budget_bytes=max(1, round(given["clips_budget_mb"] * 1e6)),
        overlay=given["clips_overlay"],
        look_back_s=look_back_s,
    )
    return EventClips(given["clips"], options=options)


def _webhook(given: dict[str, Any]) -> Remote:
    need("httpx", extra="webhook")
    from ppsdk.sinks import Certificates
    from ppsdk.sinks.secrets import read_secret
    from ppsdk.sinks.webhook import Webhook

    return Webhook(
        given["webhook"],
        secret=read_secret("PPSDK_WEBHOOK_SECRET"),
        token=read_secret("PPSDK_WEBHOOK_TOKEN"),
        certificates=Certificates(given["webhook_ca"]) if given["webhook_ca"] else None,
    )


def _mqtt(given: dict[str, Any]) -> Remote:
    need("paho", extra="mqtt")
    from ppsdk.sinks import Certificates
    from ppsdk.sinks.mqtt import Mqtt
    from ppsdk.sinks.secrets import read_secret

    certificates = Certificates(
        ca_file=given["mqtt_ca"],
        cert_file=given["mqtt_cert"],
        key_file=given["mqtt_key"],
        key_password=read_secret("PPSDK_MQTT_KEY_PASSWORD"),
    )
    return Mqtt(
        given["mqtt"],
        user=read_secret("PPSDK_MQTT_USER"),
        password=read_secret("PPSDK_MQTT_PASSWORD"),
        certificates=certificates if certificates != Certificates() else None,
    )
