"""MQTT, with a mosquitto."""

import json
import logging
import os
import signal
import subprocess
import sys
import time

import pytest
from action_records import many, record
from broker import PASSWORD, USER, Broker, Listener
from certificates import make_certificate
from test_imports import ROOT
from test_sinks import Told
from test_spool import wait_empty
from waiting import wait_for

from ppsdk.sinks import Certificates, Sinks, Spool, Spooled
from ppsdk.sinks.mqtt import Mqtt


def test_why_there_is_no_connection_is_told(tmp_path, caplog):
    remote = Mqtt("mqtt://127.0.0.1:9", timeout_s=0.5)  # where nobody listens
    with Spooled(Spool(tmp_path / "spool.db"), remote, close_s=0.1) as sink:
        sink(record())
        wait_for(lambda: "takes no records" in caplog.text)
    assert "they wait: no connection: " in caplog.text and "refused" in caplog.text


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as broker:
        yield broker


def spooled(path, broker, *, timeout_s=5.0, close_s=2, password=PASSWORD):
    url = f"mqtt://127.0.0.1:{broker.port}/site/hall"
    remote = Mqtt(url, user=USER, password=password, timeout_s=timeout_s)
    return Spooled(Spool(path), remote, shortest_s=0.05, longest_s=0.2, close_s=close_s)


def told(events):
    return [event.to_dict() for event in events]


def once(texts):
    """The bodies, each the first time that it came."""
    bodies = {
        (body["id"], body["sequence"]): body for body in reversed(list(map(json.loads, texts)))
    }
    return list(reversed(bodies.values()))


def test_events_have_a_topic_for_each_camera_and_a_state(broker, tmp_path):
    with Listener(broker) as listener:
        with spooled(tmp_path / "spool.db", broker) as sink:
            for event in many(30):
                sink(event)
            sink(record(source="rtsp://host/a+b#1"))
            wait_empty(sink)
            wait_for(lambda: listener.of("site/hall/state") == ["online"])
        wait_for(lambda: len(listener.messages) == 33)
        assert [json.loads(text) for text in listener.of("site/hall/door/events")] == told(many(30))
        (text,) = listener.of("site/hall/rtsp:__host_a_b_1/events")
        assert json.loads(text) == record(source="rtsp://host/a+b#1").to_dict()
        assert listener.of("site/hall/state") == ["online", "offline"]
    with Listener(broker, "site/hall/state") as late:  # the state is retained
        wait_for(lambda: late.of("site/hall/state") == ["offline"])


def outage(broker, tmp_path, *, down_s):
    """200 events, the 60th to 140th of them, and down_s, without a broker; another sink has all."""
    other = Told("other")
    with Listener(broker) as listener:
        sink = spooled(tmp_path / "spool.db", broker, timeout_s=1.0)
        with Sinks([sink, other], close_s=20) as fan:
            for number, event in enumerate(many(200)):
                if number == 60:
                    wait_empty(sink)
                    broker.stop()
                if number == 140:
                    time.sleep(down_s)
                    wait_for(lambda: len(other.events) == 140)
                    assert sink.counts().waiting == 80
                    broker.start()
                fan(event)
                time.sleep(0.002)
            wait_for(lambda: not sink.counts().waiting and len(other.events) == 200, 90)
            assert sink.counts().dropped == 0
        topic = "site/hall/door/events"
        wait_for(lambda: len(once(listener.of(topic))) == 200)
        assert once(listener.of(topic)) == told(many(200)) == told(other.events)


def test_200_events_and_a_broker_that_is_down_meanwhile(broker, tmp_path):
    outage(broker, tmp_path, down_s=1)


@pytest.mark.slow
def test_200_events_and_a_broker_that_is_down_for_60_s(broker, tmp_path):
    outage(broker, tmp_path, down_s=60)


KILLED = """
import sys, time
from action_records import record
from broker import PASSWORD, USER
from ppsdk.sinks import Spool, Spooled
from ppsdk.sinks.mqtt import Mqtt
remote = Mqtt(sys.argv[1], user=USER, password=PASSWORD)
Spooled(Spool(sys.argv[2]), remote)(record("start"))
time.sleep(60)
"""


def test_the_last_will_of_a_killed_process_and_the_end_of_its_event(broker, tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    url = f"mqtt://127.0.0.1:{broker.port}/site/hall"
    command = [sys.executable, "-c", KILLED, url, str(tmp_path / "spool.db")]
    with Listener(broker) as listener:
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
        try:
            wait_for(lambda: listener.of("site/hall/door/events"))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        wait_for(lambda: listener.of("site/hall/state") == ["online", "offline"])
        with spooled(tmp_path / "spool.db", broker) as sink:
            wait_empty(sink)
            topic = "site/hall/door/events"
            wait_for(lambda: len(once(listener.of(topic))) == 2)
        start, end = once(listener.of(topic))
        assert (start["phase"], end["phase"], end["sequence"]) == ("start", "end", 1)
        assert end["ended_by"] == "interrupted"


def test_a_wrong_password_is_told_without_it(broker, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    refused = spooled(tmp_path / "spool.db", broker, timeout_s=60, close_s=0.1, password="s3cret")
    with refused as sink:
        sink(record())
        wait_for(lambda: "takes no records" in caplog.text)
    assert f"{sink.name}: takes no records, they wait: refused: Not authorized" in caplog.text
    assert "s3cret" not in caplog.text and sink.name == f"mqtt://127.0.0.1:{broker.port}"


def test_tls(tmp_path, caplog):
    with Broker(tmp_path, tls=True) as broker:
        url = f"mqtts://localhost:{broker.port}"
        trusting = Mqtt(
            url, user=USER, password=PASSWORD, certificates=Certificates(broker.ca_file)
        )
        with Spooled(Spool(tmp_path / "a.db"), trusting) as sink:
            sink(record())
            wait_empty(sink)
        # Nobody that the system knows has signed it.
        wary = Mqtt(url, user=USER, password=PASSWORD, timeout_s=0.4)
        with Spooled(Spool(tmp_path / "b.db"), wary, close_s=0.1) as sink:
            sink(record())
            wait_for(lambda: "takes no records" in caplog.text)
        assert sink.counts().waiting == 1


@pytest.mark.slow
def test_a_broker_that_wants_to_see_a_certificate(tmp_path, caplog):
    own, key = make_certificate(tmp_path, "camera", password="sesame")
    with Broker(tmp_path, tls=True, client_cert=own) as broker:

        def sink_with(**options):
            certificates = Certificates(broker.ca_file, **options)
            url = f"mqtts://localhost:{broker.port}"
            remote = Mqtt(
                url, user=USER, password=PASSWORD, certificates=certificates, timeout_s=5.0
            )
            return Spooled(Spool(tmp_path / "spool.db"), remote, close_s=0.1)

        with sink_with() as sink:
            sink(record())
            wait_for(lambda: "takes no records" in caplog.text)
        with sink_with(cert_file=own, key_file=key, key_password="sesame") as sink:
            assert sink.counts().waiting == 1
            wait_empty(sink)


def test_certificates_that_cannot_be_used_are_named(tmp_path):
    own, key = make_certificate(tmp_path, "camera", password="sesame")
    other, other_key = make_certificate(tmp_path, "other")
    (tmp_path / "empty.pem").touch()
    for files, reason in (
        ({"ca_file": tmp_path / "none.pem"}, "none.pem: no certificates to trust: No such file"),
        ({"ca_file": tmp_path / "empty.pem"}, "empty.pem: no certificates to trust: no cert"),
        ({"cert_file": other, "key_file": key}, "other.pem and .*camera.key: .* with another pass"),
        ({"cert_file": own, "key_file": other_key}, "camera.pem and .*other.key: .* mismatch"),
        ({"cert_file": own}, "camera.pem: no certificate with its key: not PEM"),
        ({"key_file": key}, "camera.key: is a key without a certificate"),
    ):
        with pytest.raises(ValueError, match=reason) as caught:
            Mqtt("mqtts://localhost", certificates=Certificates(**files))
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="certificates are for mqtts://: not for mqtt://localhost"):
        Mqtt("mqtt://localhost", certificates=Certificates(other))
    assert "sesame" not in repr(Certificates(key_password="sesame"))


@pytest.mark.parametrize(
    "url, reason",
    [
        ("http://host/s3cret", "must be mqtt://HOST"),
        ("mqtt:///s3cret", "must be mqtt://HOST"),
        ("mqtt://me:s3cret@host/", "for host has a user, a password"),
        ("mqtt://host:s3cret/", "a port that is no number"),
        ("mqtt://host/a/+/b", "the prefix 'a/+/b'"),
        ("mqtt://broker..lan", "'broker..lan', which is no host's name"),
    ],
)
def test_what_is_no_url_is_refused_without_telling_it(url, reason):
    with pytest.raises(ValueError) as caught:
        Mqtt(url)
    assert reason in str(caught.value) and "s3cret" not in str(caught.value)
