"""Names of sources go into events, logs and messages: what is secret in a URL does not."""

from __future__ import annotations

import re

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
    masked = _SECRET.sub(r"\1***", rest)
    return f"{scheme}://{masked}"
