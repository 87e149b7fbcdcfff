"""Names of sources go into events, logs and messages: what is secret in a URL does not."""

from __future__ import annotations

import re

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_NAMES = r"((?:user|login|pass|pwd|pw|token|key|secret|auth)\w*=)"
# Of a query a value may have a slash, of a path, as in /user=x/pwd=y/, it ends there.
_IN_PATH = re.compile(_NAMES + r"[^&/]*", re.IGNORECASE)
_IN_QUERY = re.compile(_NAMES + r"[^&#]*", re.IGNORECASE)


def without_credentials(url: str) -> str:
    """rtsp://user:secret@host/path?token=x -> rtsp://host/path?token=***"""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password with a slash in it is no valid URL, and is not to be shown for that.
    searched = rest if _is_cut_short(authority, rest) else authority
    rest = rest[searched.rfind("@") + 1 :]
    path, mark, query = rest.partition("?")
    path, query = _IN_PATH.sub(r"\1***", path), _IN_QUERY.sub(r"\1***", query)
    return f"{scheme}://{path}{mark}{query}"


def _is_cut_short(authority: str, rest: str) -> bool:
    """Whether user and password go on behind what looks like host and port. With a port that is a
    number, only a name without a dot may be a user's, unless a # comes next, which no stream has.
    """
    if "@" in authority or ":" not in authority or "@" not in rest:
        return False
    name, _, port = authority.rpartition(":")
    is_number = re.fullmatch(r"[\d\]]*", port) is not None
    is_host = authority.startswith("[") or "." in name
    return not is_number or not is_host or rest[len(authority) :].startswith("#")


def masked(text: str) -> str:
    """Text with every URL in it `without_credentials`."""
    return _URL.sub(lambda url: without_credentials(url[0]), text)
