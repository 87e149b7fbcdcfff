"""Events to an MQTT broker."""

from __future__ import annotations

import re
import sys
import threading
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ppsdk.sinks.protocol import Refused, SpooledRecord
from ppsdk.sinks.tls import Certificates

if TYPE_CHECKING:
    from paho.mqtt.client import Client

# Topic name invalid, payload format invalid: MQTT 5, 3.4.2.1.
_REFUSALS = (0x90, 0x99)
_KEEPALIVE_S = 30
# Between tries to connect.
_SHORTEST_S, _LONGEST_S = 1, 30


class Mqtt:
    """A `Remote`: each record as JSON, UTF-8, to PREFIX/CAMERA/events, QoS 1, MQTT 5.

    url: mqtt://HOST[:PORT][/PREFIX], or mqtts:// for TLS; the ports are 1883 and 8883, the prefix
    ppsdk, unless given. CAMERA is the source of the event with _ for what a topic level cannot
    have. PREFIX/state is retained: "online", and "offline" at `close` or by the broker (last will)
    once the connection is lost. Connects, also anew, in a thread of its own.
    certificates: for mqtts://; those that the system trusts, and none of our own, unless given.
    timeout_s: for the broker's answer to one record. Needs paho-mqtt. Raises ValueError for what is
    no such URL, and for one with a user or password in it: anybody sees those; and for certificates
    that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        certificates: Certificates | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        host, port, self._prefix, tls = broker_of(url)
        self.name = f"{'mqtts' if tls else 'mqtt'}://{host}:{port}"
        self._state_topic = f"{self._prefix}/state"
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._is_connected, self._is_refused = False, False
        self._reason = "no connection"
        # Of each message that the broker answered: why not, if not.
        self._answers: dict[int, Any] = {}
        # The record that the broker has not answered yet, and its message.
        self._pending: tuple[str, int] | None = None
        if certificates is not None and not tls:
            raise ValueError(f"certificates are for mqtts://: not for {self.name}")
        self._client = self._new_client(user, password)
        if tls:
            self._client.tls_set_context((certificates or Certificates()).context())
        self._client.connect_async(host, port, keepalive=_KEEPALIVE_S)
        self._client.loop_start()

    def send(self, record: SpooledRecord) -> None:
        # The client keeps a message that was not answered, and sends it when it is connected
        # again: only its answer is waited for then.
        if self._pending is None or self._pending[0] != record.key:
            self._wait_connected()
            self._answers.clear()
            topic = f"{self._prefix}/{_topic_level(record.camera)}/events"
            self._pending = record.key, self._client.publish(topic, record.body, qos=1).mid
        message = self._pending[1]
        self._wait(lambda: message in self._answers)
        self._pending = None
        answer = self._answers.pop(message)
        if answer.value in _REFUSALS:
            raise Refused(f"{answer}")
        if answer.is_failure:
            raise ConnectionError(f"{answer}")

    def close(self) -> None:
        """Does not wait for a broker that is gone."""
        if self._is_connected:
            message = self._client.publish(self._state_topic, "offline", qos=1, retain=True).mid
            try:
                self._wait(lambda: message in self._answers)
            except ConnectionError:
                pass  # its last will says so
        self._client.disconnect()
        self._client.loop_stop()

    def _new_client(self, user: str | None, password: str | None) -> Client:
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise ImportError("MQTT needs paho-mqtt: pip install 'ppsdk[mqtt]'") from None
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"ppsdk-{uuid.uuid4().hex[:12]}",
            protocol=paho.MQTTv5,
        )
        if user is not None or password is not None:
            client.username_pw_set(user, password)
        client.reconnect_delay_set(_SHORTEST_S, _LONGEST_S)
        client.will_set(self._state_topic, "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        return client

    def _wait_connected(self) -> None:
        """A refusal is told at once: the client goes on asking by itself."""
        self._wait(lambda: self._is_connected or self._is_refused)
        if not self._is_connected:
            raise ConnectionError(self._reason)

    def _wait(self, condition: Callable[[], bool]) -> None:
        # Never publish with this lock: the client calls back with locks of its own.
        with self._changed:
            if not self._changed.wait_for(condition, self._timeout_s):
                raise ConnectionError("no answer" if self._is_connected else self._reason)

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: Any, told: Any) -> None:
        if reason.is_failure:
            with self._changed:
                self._reason, self._is_refused = f"refused: {reason}", True
                self._changed.notify_all()
            return
        client.publish(self._state_topic, "online", qos=1, retain=True)
        with self._changed:
            self._is_connected, self._is_refused = True, False
            self._changed.notify_all()

    def _on_connect_fail(self, client: Client, _: Any) -> None:
        """paho calls it where it has caught why there is none."""
        error = sys.exc_info()[1]
        with self._changed:
            if error is not None:
                self._reason = f"no connection: {error}"

    def _on_disconnect(self, client: Client, _: Any, flags: Any, reason: Any, told: Any) -> None:
        with self._changed:
            if self._is_connected:
                self._reason = "connection lost"
            self._is_connected = False

    def _on_publish(self, client: Client, _: Any, message: int, reason: Any, told: Any) -> None:
        with self._changed:
            self._answers[message] = reason
            self._changed.notify_all()


def _topic_level(camera: str) -> str:
    return re.sub(r"[/+#\x00-\x1f\x7f]", "_", camera) or "_"


def broker_of(url: str) -> tuple[str, int, str, bool]:
    """Host, port, prefix, whether with TLS; raises ValueError for what is no broker's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the MQTT URL has a port that is no number") from None
    try:
        (parts.hostname or "").encode("idna")
    except UnicodeError:
        raise ValueError(f"the MQTT URL has {parts.hostname!r}, which is no host's name") from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError("the MQTT URL must be mqtt://HOST[:PORT][/PREFIX] or mqtts://...")
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            f"the MQTT URL for {parts.hostname} has a user, a password or a ?query in it: must be "
            "without"
        )
    prefix = unquote(parts.path).strip("/") or "ppsdk"
    if re.search(r"[+#\x00]", prefix):
        raise ValueError(f"the MQTT URL has the prefix {prefix!r}: must be without + and #")
    tls = parts.scheme == "mqtts"
    return parts.hostname, port or (8883 if tls else 1883), prefix, tls
