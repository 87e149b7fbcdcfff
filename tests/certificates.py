"""Certificates for tests, each signed by itself."""

import subprocess

MAKE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"


def make_certificate(folder, name, *, password=None):
    """PEM files of a certificate for localhost and of its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [*MAKE.split(), "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    command += ["-keyout", key, "-out", certificate]
    command += ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
