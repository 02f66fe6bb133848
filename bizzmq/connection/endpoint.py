"""One server as its URL describes it: the address, the TLS context, and the commands that open a session."""

from __future__ import annotations

import ssl
from typing import Any, Dict, Generator, Mapping, Tuple

from redis import asyncio as redis_asyncio
from redis import exceptions

from bizzmq.connection.resp_socket import new_reader
from bizzmq.connection.url import arguments, check_url
from bizzmq.errors import ConfigurationError
from bizzmq.utils.redaction import scheme_and_host

Handshake = Generator[Tuple[Any, ...], Any, None]


class Endpoint:
    """The parts of a URL that a connection needs, for code that opens its own sockets.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

    Attributes:
        path: the path of the Unix socket; "" for TCP.
        host: the host name or address.
        port: the TCP port.

    Raises:
        ConfigurationError: the URL is invalid.
    """

    def __init__(self, url: str) -> None:
        self.url = check_url(url)
        factory, options = arguments(url)
        self._link = factory(**options)  # it stays closed
        self._options = options
        self.path = str(options.get("path", ""))
        self.host = str(options.get("host", "localhost"))
        self.port = int(options.get("port", 6379))
        self.has_tls = url.startswith("rediss")
        self._context: ssl.SSLContext | None = None

    def new_reader(self) -> Any:
        """A parser of replies; see `resp_socket.new_reader`."""
        return new_reader(self._link)

    def tls_context(self) -> ssl.SSLContext:
        """The context for TLS, made once: it reads the files of certificates.

        Raises:
            OSError: a file is invalid.
            ConfigurationError: the URL has an option that redis-py does not have for asyncio.
        """
        if self._context is None:
            try:
                link = redis_asyncio.SSLConnection(**_of_tls(self._options))
            except TypeError as error:
                raise ConfigurationError(
                    f"bad Redis URL {scheme_and_host(self.url)!r}: an option cannot be used with asyncio ({error})"
                ) from None
            self._context = link.ssl_context.get()
        return self._context

    def handshake(self) -> Handshake:
        """The commands that a new connection sends first: it yields each and receives its reply or its error."""
        user, password = self._link.username, self._link.password
        if user or password:
            credentials = (user, password or "") if user else (password,)
            try:
                yield ("AUTH", *credentials)
            except exceptions.AuthenticationWrongNumberOfArgsError:
                yield ("AUTH", credentials[-1])  # Redis 5 has no users
        if self._link.client_name:
            yield ("CLIENT", "SETNAME", self._link.client_name)
        if self._link.db:
            yield ("SELECT", self._link.db)


def _of_tls(options: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in options.items() if name.startswith("ssl_")}
