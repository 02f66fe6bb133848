"""TLS as an address asks for it: certificate and host name are verified unless it says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def verifying(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a TLS connection, with the host name verified where the certificate is.

    Older versions of the client library take any host's good certificate for the right one.

    Raises:
        ValueError: a file that they name is not there; the text names the option.
    """
    for name in _FILES:
        path = options.get(name)
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{name} names no file")
    verifies = options.get("ssl_cert_reqs") != "none"
    return {"ssl_check_hostname": verifies, **options}
