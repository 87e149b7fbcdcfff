"""Certificates: whom to trust, and who we are."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Of a client; all files are PEM.

    ca_file: of who signed the peer's certificate; those that the system trusts unless given.
    cert_file: our own. key_file: its key; in cert_file unless given. key_password: of the key.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.key_file is not None and self.cert_file is None:
            raise ValueError(f"{self.key_file}: is a key without a certificate: must have one")

    def context(self) -> ssl.SSLContext:
        """Raises ValueError, with the file, where one cannot be read or does not fit."""
        ca_file = None if self.ca_file is None else str(self.ca_file)
        try:
            context = ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise ValueError(f"{ca_file}: no certificates to trust: {_why(error)}") from None
        if self.cert_file is not None:
            # Asked for a password and given none, OpenSSL would ask the terminal.
            password = self.key_password or ""
            try:
                context.load_cert_chain(self.cert_file, self.key_file, lambda: password)
            except OSError as error:
                named = " and ".join(str(file) for file in (self.cert_file, self.key_file) if file)
                raise ValueError(f"{named}: no certificate with its key: {_why(error)}") from None
        return context


def _why(error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return str(error.strerror)
    reason = error.reason or "not PEM, or encrypted with another password"
    return reason.replace("_", " ").lower().replace("pem", "PEM")
