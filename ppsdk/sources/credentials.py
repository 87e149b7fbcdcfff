"""Names of sources go into events, logs and messages: what is secret in a URL does not."""

from __future__ import annotations

import re

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_NAMES = r"((?:user|login|pass|pwd|pw|token|key|secret|auth)\w*=)"
# In a path, as in /user=x/pwd=y/, a value ends at the next slash; in a query it may have some.
_IN_PATH = re.compile(_NAMES + r"[^&/]*", re.IGNORECASE)
_IN_QUERY = re.compile(_NAMES + r"[^&]*", re.IGNORECASE)
# Behind what looks like a port: the rest of a password, a host and its path.
_REST_OF_PASSWORD = re.compile(r"[/?][^/?#]*@[^/]+/")


def without_credentials(url: str) -> str:
    """rtsp://user:secret@host/path?token=x -> rtsp://host/path?token=***"""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    # A password with a slash in it is no valid URL, and is not to be shown for that.
    searched = rest if _is_cut_short(authority, rest) else authority
    rest = rest[searched.rfind("@") + 1 :]
    path, mark, query = rest.partition("?")
    query = _IN_QUERY.sub(r"\1***", query)
    # The whole of it: a value in the path may have a question mark.
    without_secrets = _IN_PATH.sub(r"\1***", f"{path}{mark}{query}")
    return f"{scheme}://{without_secrets}"


def _is_cut_short(authority: str, rest: str) -> bool:
    """Whether user and password go on behind what looks like host and port. Where the port is a
    number, they do if a # comes next, or if the name has no dot and a host and a path follow.
    """
    if "@" in authority or ":" not in authority or "@" not in rest:
        return False
    name, _, port = authority.rpartition(":")
    if not re.fullmatch(r"[\d\]]*", port):
        return True
    behind = rest[len(authority) :]
    is_host = authority.startswith("[") or "." in name
    return behind.startswith("#") or (not is_host and _REST_OF_PASSWORD.match(behind) is not None)


def masked(text: str) -> str:
    """Text with every URL in it `without_credentials`."""
    return _URL.sub(lambda url: without_credentials(url[0]), text)
