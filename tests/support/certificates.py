"""A certificate authority and its certificates, made by the openssl command for one test run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = critical, CA:FALSE
subjectAltName = {alternative}
"""
_TIMEOUT_S = 60.0


def can_make() -> bool:
    """Whether there is an openssl command."""
    return shutil.which("openssl") is not None


class Certificate(NamedTuple):
    """Two files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority that no system trusts. `certificate` is its own certificate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.certificate, self._key = self._request("authority", "DNS:authority.example")
        signed = ["-signkey", str(self._key), "-extensions", "authority"]
        self._sign("authority", signed)

    def issue(self, name: str, alternative: str) -> Certificate:
        """A certificate for one alternative name, such as `IP:127.0.0.1`."""
        made = self._request(name, alternative)
        signed = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-extensions", "leaf"]
        self._sign(name, signed)
        return made

    def _request(self, name: str, alternative: str) -> Certificate:
        config, key = self._directory / f"{name}.cnf", self._directory / f"{name}.key"
        config.write_text(_CONFIG.format(name=name, alternative=alternative))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        request = str(self._directory / f"{name}.csr")
        _openssl("req", "-new", *curve, "-keyout", str(key), "-out", request, "-config", str(config))
        return Certificate(self._directory / f"{name}.pem", key)

    def _sign(self, name: str, how: list[str]) -> None:
        request, config = str(self._directory / f"{name}.csr"), str(self._directory / f"{name}.cnf")
        out = str(self._directory / f"{name}.pem")
        _openssl("x509", "-req", "-in", request, "-out", out, "-days", "2", "-extfile", config, *how)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
