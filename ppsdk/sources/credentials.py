"""Names of sources go into events, logs and messages: what is secret in a URL does not."""

from __future__ import annotations

import re

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SECRET = re.compile(r"((?:user|login|pass|pwd|pw|token|key|secret|auth)\w*=)[^&/]*", re.IGNORECASE)


def without_credentials(url: str) -> str:
    """rtsp://user:secret@host/path?token=x -> rtsp://host/path?token=***"""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password with a slash in it is no valid URL, and is not to be shown for that.
    port = authority.rpartition(":")[2]
    has_slash = "@" not in authority and ":" in authority and not re.fullmatch(r"[\d\]]*", port)
    searched = rest if has_slash else authority
    rest = rest[searched.rfind("@") + 1 :]
    without_secrets = _SECRET.sub(r"\1***", rest)
    return f"{scheme}://{without_secrets}"


def masked(text: str) -> str:
    """Text with every URL in it `without_credentials`."""
    return _URL.sub(lambda url: without_credentials(url[0]), text)
