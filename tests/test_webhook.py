"""The webhook, against a web server."""

import hashlib
import hmac
import json
import logging

import pytest
from action_records import many, record
from certificates import make_certificate
from test_sinks import Told
from test_spool import wait_empty
from waiting import wait_for
from webhook_server import WebhookServer

from ppsdk.sinks import Certificates, Sinks, Spool, Spooled
from ppsdk.sinks.secrets import read_secret
from ppsdk.sinks.webhook import Webhook

SECRET = "correct horse"
TOKEN = "battery staple"


def spooled(path, url, *, timeout_s=0.4, **options):
    webhook = Webhook(url, secret=SECRET, token=TOKEN, timeout_s=timeout_s)
    return Spooled(Spool(path), webhook, shortest_s=0.01, longest_s=0.1, **options)


def bodies(requests):
    return [json.loads(body) for _, body in requests]


def told(events):
    return [event.to_dict() for event in events]


def test_a_record_is_one_signed_post(tmp_path):
    with WebhookServer() as server:
        with spooled(tmp_path / "spool.db", server.url, timeout_s=20) as sink:
            sink(record(id="abc", sequence=3, label="Stürzen"))
            wait_empty(sink)
    ((headers, body),) = server.requests
    assert json.loads(body) == record(id="abc", sequence=3, label="Stürzen").to_dict()
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "abc-3"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    digits = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Ppsdk-Signature"] == f"sha256={digits}"


def test_a_server_whose_certificate_nobody_else_trusts(tmp_path, caplog):
    own, key = make_certificate(tmp_path, "server")
    with WebhookServer(certificate=(own, key)) as server:
        with spooled(tmp_path / "spool.db", server.url, close_s=0.1) as sink:
            sink(record())
            wait_for(lambda: "takes no records" in caplog.text)
        assert not server.taken
        trusting = Webhook(server.url, certificates=Certificates(own))
        with Spooled(Spool(tmp_path / "spool.db"), trusting) as sink:
            wait_empty(sink)
    assert bodies(server.taken) == told([record()])
    with pytest.raises(ValueError, match="certificates are for https://: not for http://host"):
        Webhook("http://host/", certificates=Certificates(own))


def in_turn(number):
    """Every sixth request is answered with 500, every 40th never."""
    if number % 40 == 20:
        return "never"
    return 500 if number % 6 == 5 else 200


@pytest.mark.parametrize("answer", [lambda n: 500 if n < 5 else 200, in_turn], ids=["down", "bad"])
def test_200_events_arrive_in_order(tmp_path, answer):
    """And another sink has had them all meanwhile."""
    other = Told("other")
    with WebhookServer(answer) as server:
        sink = spooled(tmp_path / "spool.db", server.url)
        with Sinks([sink, other]) as fan:
            for event in many(200):
                fan(event)
            wait_for(lambda: len(other.events) == 200)
            wait_for(lambda: len(server.taken) >= 200)
            wait_empty(sink)
        assert sink.counts().dropped == 0
    # Of an answer that came too late nobody knows: those are taken twice.
    once = {headers["Idempotency-Key"]: json.loads(body) for headers, body in server.taken}
    assert list(once.values()) == told(many(200)) == told(other.events)
    keys = [headers["Idempotency-Key"] for headers, _ in server.requests]
    assert len(keys) > 200 and len(set(keys)) == 200  # those sent again have the same key


@pytest.mark.parametrize("body", ["slowly", "half"])
def test_a_body_that_does_not_come_is_not_waited_for(tmp_path, body):
    with WebhookServer(lambda number: body) as server:
        with spooled(tmp_path / "spool.db", server.url, timeout_s=300) as sink:
            for event in many(2):
                sink(event)
            wait_empty(sink)
    assert bodies(server.requests) == told(many(2))  # each once


def test_what_the_server_refuses_is_counted_and_the_rest_goes_on(tmp_path, caplog):
    with WebhookServer(lambda number: 422 if number == 1 else 200) as server:
        with spooled(tmp_path / "spool.db", server.url, timeout_s=20) as sink:
            for event in many(3):
                sink(event)
            wait_empty(sink)
            assert sink.counts().refused == 1
    assert bodies(server.taken) == told([many(3)[0], many(3)[2]])
    assert "refuses record door-0-1: status 422" in caplog.text


def test_a_server_that_is_gone_gets_the_records_when_it_is_back(tmp_path):
    with WebhookServer() as server:
        url = server.url
    sink = spooled(tmp_path / "spool.db", url, close_s=0.1)
    for event in many(3):
        sink(event)
    sink.close()
    with WebhookServer() as server, spooled(tmp_path / "spool.db", server.url) as sink:
        wait_empty(sink)
    assert bodies(server.taken) == told(many(3))


def test_nothing_secret_is_told(tmp_path, caplog):
    """Not in the logs of ours or of httpx, in its debug logs either."""
    caplog.set_level(logging.DEBUG)
    with WebhookServer(in_turn) as server:
        with spooled(tmp_path / "spool.db", server.url) as sink:
            for event in many(24):
                sink(event)
            wait_empty(sink)
            assert sink.name == server.url.partition("/hooks")[0]
    assert "takes no records" in caplog.text and "httpcore" in caplog.text
    text = caplog.text + repr(sink.__dict__)
    for secret in (SECRET, TOKEN, "tell-nobody", "k3y"):
        assert secret not in text


def test_a_url_that_httpx_writes_otherwise_is_not_told_either(tmp_path, caplog):
    caplog.set_level(logging.INFO, "httpx")
    with WebhookServer() as server:
        url = server.url.replace("127.0.0.1", "LOCALHOST")
        with spooled(tmp_path / "spool.db", url) as sink:
            sink(record())
            wait_empty(sink)
    assert "tell-nobody" in url and "tell-nobody" not in caplog.text


@pytest.mark.parametrize("token", ["s3cret ", "\ts3cret", "s3cret\nmore", "s3crét"])
def test_a_token_that_no_header_can_have_is_refused_without_telling_it(token):
    with pytest.raises(ValueError, match="the webhook's token begins or ends") as caught:
        Webhook("https://host/path", token=token)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    "url, reason",
    [
        ("ftp://host/s3cret", "must be http://HOST/..."),
        ("https:///s3cret", "must be http://HOST/..."),
        ("https://me:s3cret@host/", "for host has a user or password in it: must be without"),
        ("https://host:s3cret/", "a port that is no number"),
        ("https://host/s3cret\n", "has a blank or the end of a line in it"),
        ("https://exämple-.de/s3cret", "cannot be used"),
    ],
)
def test_what_is_no_url_is_refused_without_telling_it(url, reason):
    with pytest.raises(ValueError) as caught:
        Webhook(url)
    assert reason in str(caught.value) and "s3cret" not in str(caught.value)


def test_secrets_come_from_the_environment_or_a_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("hush\n")
    assert read_secret("X", environ={}) is None
    assert read_secret("X", environ={"X": ""}) is None
    assert read_secret("X", environ={"X": "hush"}) == "hush"
    assert read_secret("X", environ={"X_FILE": str(file)}) == "hush"
    with pytest.raises(ValueError, match="X and X_FILE are both set"):
        read_secret("X", environ={"X": "hush", "X_FILE": str(file)})
    with pytest.raises(ValueError, match="X_FILE: cannot read .*none: No such file"):
        read_secret("X", environ={"X_FILE": str(tmp_path / "none")})
