"""A mosquitto of a test's own, and somebody who listens to it."""

import shutil
import socket
import subprocess
import threading
from contextlib import ExitStack

import pytest
from certificates import make_certificate
from paho.mqtt import client as paho
from waiting import free_port, wait_for

USER, PASSWORD = "camera", "correct horse"


def need_mosquitto():
    # Debian has it where only root looks.
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    return found or pytest.skip("needs mosquitto: apt-get install mosquitto")


class Broker:
    """Wants USER and PASSWORD; what it has for those who listen survives `stop` and `start`.

    tls: has a certificate. client_cert: who connects must show this one.
    """

    def __init__(self, folder, *, tls=False, client_cert=None):
        self._program, self._folder = need_mosquitto(), folder
        self._held = ExitStack()
        self.port = self._held.enter_context(free_port())
        passwords = folder / "passwords"
        passwords.write_text(f"{USER}:{PASSWORD}\n")
        subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
        lines = [
            *("user root", f"listener {self.port} 127.0.0.1", f"password_file {passwords}"),
            *("persistence true", f"persistence_location {folder}/", "log_type error"),
        ]
        if tls:
            self.ca_file, key = make_certificate(folder, "broker")
            lines += [f"certfile {self.ca_file}", f"keyfile {key}"]
        if client_cert is not None:
            lines += [f"cafile {client_cert}", "require_certificate true"]
        (folder / "config").write_text("\n".join(lines) + "\n")

    def start(self):
        self._process = subprocess.Popen([self._program, "-c", self._folder / "config"])
        wait_for(self._answers)

    def stop(self):
        self._process.terminate()
        self._process.wait(60)

    def _answers(self):
        assert self._process.poll() is None, "mosquitto does not start"
        with socket.socket() as found:
            return not found.connect_ex(("127.0.0.1", self.port))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exception):
        self.stop()
        self._held.close()


class Listener:
    """Keeps (topic, text) of all messages; the broker keeps those that it misses."""

    def __init__(self, broker, topic="#"):
        self.messages, subscribed = [], threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False
        )
        self._client.username_pw_set(USER, PASSWORD)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda client, _, message: self.messages.append(
            (message.topic, message.payload.decode())
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert subscribed.wait(60)

    def of(self, topic):
        return [text for name, text in list(self.messages) if name == topic]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._client.disconnect()
        self._client.loop_stop()
