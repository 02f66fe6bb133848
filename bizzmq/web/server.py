"""Serves a dashboard that runs alone, by uvicorn."""

from __future__ import annotations

import ipaddress
import signal
import socket
from dataclasses import dataclass
from typing import Callable, Optional

from bizzmq.aio.client import AsyncBizzMQ
from bizzmq.errors import ConfigurationError
from bizzmq.web.access.passwords import Passwords
from bizzmq.web.application import application


@dataclass(frozen=True)
class ServerOptions:
    """How a dashboard is served.

    Attributes:
        host, port: the address; port 0 takes a free one.
        certfile, keyfile: the certificate and the key of TLS, in PEM; "" without TLS.
        behind_proxy: whether a proxy ends TLS: its `X-Forwarded-For` and `X-Forwarded-Proto` are trusted.
        root_path: the path under which the proxy serves the dashboard.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    certfile: str = ""
    keyfile: str = ""
    behind_proxy: bool = False
    root_path: str = ""

    def check(self) -> None:
        """Raise ConfigurationError if passwords would travel in the clear, or if options contradict each other."""
        if bool(self.certfile) != bool(self.keyfile):
            raise ConfigurationError("--certfile and --keyfile belong together")
        if self.certfile and self.behind_proxy:
            raise ConfigurationError("--behind-proxy says that a proxy ends TLS, so --certfile has no effect")
        if self.root_path and (not self.root_path.startswith("/") or self.root_path.endswith("/")):
            raise ConfigurationError("--root-path must begin with a slash and not end with one, as /bizzmq")
        if not self.certfile and not self.behind_proxy and not _is_loopback(self.host):
            raise ConfigurationError(
                f"--host {self.host} can be reached from other machines: add --certfile and --keyfile, or "
                "--behind-proxy if a proxy ends TLS"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(client: AsyncBizzMQ, passwords: Passwords, options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        ready: called with the URL once it can be opened.

    Raises:
        ConfigurationError: the address or the certificate cannot be used.
    """
    import uvicorn  # noqa: PLC0415 - an application that mounts the dashboard needs no server of ours

    options.check()
    listening = _listen(options)
    made = application(client, passwords.authorize, passwords)
    scheme = "https" if options.certfile else "http"
    address = f"[{options.host}]" if ":" in options.host else options.host
    url = f"{scheme}://{address}:{listening.getsockname()[1]}{options.root_path}/"

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Optional[object]) -> None:
            made.state.site.close()  # the events of open pages would keep it from stopping
            super().handle_exit(sig, frame)  # type: ignore[arg-type]

    try:
        config = uvicorn.Config(
            made, log_level="warning", access_log=False, proxy_headers=options.behind_proxy, server_header=False,
            forwarded_allow_ips="*" if options.behind_proxy else None, root_path=options.root_path,
            ssl_certfile=options.certfile or None, ssl_keyfile=options.keyfile or None, timeout_graceful_shutdown=3,
        )  # fmt: skip
        config.load()
    except (OSError, ValueError) as error:
        listening.close()
        raise ConfigurationError(f"--certfile or --keyfile cannot be used: {error}") from None
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn handles them, and raises them again at its end
    ready(url)
    Server(config).run(sockets=[listening])


def _listen(options: ServerOptions) -> socket.socket:
    """A socket that listens, so that the port is known and a bad address is one clear line."""
    try:
        family = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0][0]
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((options.host, options.port))
            made.listen(128)
        except OSError:
            made.close()
            raise
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}") from None
    return made
