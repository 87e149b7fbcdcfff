"""Events to a web server: a POST a record."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from urllib.parse import urlsplit

from ppsdk.sinks.protocol import Refused, SpooledRecord
from ppsdk.sinks.tls import Certificates

# What the body of an answer may take, which is read only so that the connection can be used again.
_ANSWER_BYTES, _ANSWER_S = 1 << 16, 1.0
# The record itself is at fault. Anything else may be repaired at the other end.
_REFUSALS = (400, 413, 422)


class Webhook:
    """A `Remote`: the record as JSON, UTF-8. Any 2xx takes it; 400, 413 and 422 refuse it; anything
    else (a redirect too) asks for it again.

    Headers: Idempotency-Key is EVENT_ID-SEQUENCE. With a secret, X-Ppsdk-Signature is sha256= and
    the HMAC-SHA256 of the body in hexadecimal digits. With a token, Authorization is Bearer TOKEN.
    certificates: for https://; those that httpx trusts, and none of our own, unless given.
    timeout_s: to connect, to send, and to the first of the answer. Needs httpx. Raises ValueError
    for what is no http or https URL, and for one with a user or password in it: anybody sees those;
    and for certificates that cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        token: str | None = None,
        certificates: Certificates | None = None,
        timeout_s: float = 10.0,
    ) -> None:
        self._url, self._secret, self._timeout_s = url, secret, timeout_s
        # No more of it: paths and queries have tokens in them.
        self.name = origin_of(url)
        try:
            import httpx
        except ImportError:
            raise ImportError("a webhook needs httpx: pip install 'ppsdk[webhook]'") from None
        try:
            written = str(httpx.URL(url))
        except httpx.InvalidURL:
            raise ValueError(f"the webhook's URL for {self.name} cannot be used") from None
        if certificates is not None and not url.startswith("https:"):
            raise ValueError(f"certificates are for https://: not for {self.name}")
        verify = True if certificates is None else certificates.context()
        self._error, self._own_error = httpx.HTTPError, httpx.LocalProtocolError
        headers = {"Content-Type": "application/json"}
        if token is not None:
            check_token(token)
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(timeout=timeout_s, headers=headers, verify=verify)
        self._quiet = _WithoutUrl(url, written)
        logging.getLogger("httpx").addFilter(self._quiet)

    def send(self, record: SpooledRecord) -> None:
        headers = {"Idempotency-Key": record.key}
        if self._secret is not None:
            headers["X-Ppsdk-Signature"] = signature(record.body, secret=self._secret)
        try:
            status = self._post(record.body, headers)
        except self._own_error as error:  # what it says has the headers in it, and they a secret
            raise ConnectionError(type(error).__name__) from None
        except self._error as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from None
        if status in _REFUSALS:
            raise Refused(f"status {status}")
        if not 200 <= status < 300:
            raise ConnectionError(f"status {status}")

    def close(self) -> None:
        self._client.close()
        logging.getLogger("httpx").removeFilter(self._quiet)

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        with self._client.stream("POST", self._url, content=body, headers=headers) as answer:
            # Of its next read, too: an answer may stop behind its headers.
            answer.request.extensions["timeout"]["read"] = _ANSWER_S
            seen, until_s = 0, time.monotonic() + _ANSWER_S
            try:
                for chunk in answer.iter_raw():
                    seen += len(chunk)
                    if seen > _ANSWER_BYTES or time.monotonic() > until_s:
                        break
            except self._error:
                pass  # the status says it all
            return int(answer.status_code)


def signature(body: bytes, *, secret: str) -> str:
    """Of the header X-Ppsdk-Signature; compare it with hmac.compare_digest."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class _WithoutUrl(logging.Filter):
    """httpx logs the URL of each request, as it writes it."""

    def __init__(self, *urls: str) -> None:
        super().__init__()
        self._urls = urls

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(url in record.getMessage() for url in self._urls)


def check_token(token: str) -> None:
    """Raise ValueError for one that no header can have."""
    if not re.fullmatch("[!-~]([ -~]*[!-~])?", token):
        raise ValueError(
            "the webhook's token begins or ends with a blank, or has what headers cannot: must be "
            "printable ASCII"
        )


def origin_of(url: str) -> str:
    """https://host:port; raises ValueError for what cannot be a webhook's."""
    if re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(
            "the webhook's URL has a blank or the end of a line in it: must be without"
        )
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        raise ValueError("the webhook's URL has a port that is no number") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the webhook's URL must be http://HOST/... or https://HOST/...")
    if "@" in parts.netloc:
        raise ValueError(
            f"the webhook's URL for {parts.hostname} has a user or password in it: must be without"
        )
    return f"{parts.scheme}://{parts.hostname}{port}"
