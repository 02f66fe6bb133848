"""A connection to whichever server Redis Sentinel calls the master."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq import address
from bizzmq.address import Node
from bizzmq.connection import Connection, readable
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerReplyError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.foreign import CommandRefusedError
from bizzmq.url import check_url
from bizzmq.wire import Wire, pack

_SENTINEL_S = 1.0
"""How long one sentinel may take to be reached, and to answer, before the next one is asked."""


class SentinelConnection(Connection):
    """As Connection; each opening asks the sentinels where the master is, and believes it only if it says so itself.

    Whatever a demoted master answers (READONLY, UNBLOCKED) drops the connection, so that the next command finds the
    new master.

    Args:
        url: `redis+sentinel://`, or `rediss+sentinel://` for TLS to sentinels and servers.
    """

    longest_block_s = 2.0  # a master that vanished without a word is noticed only by its silence
    reply_s = 2.0

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self._group = address.parse(check_url(url))
        self._sentinels = list(self._group.nodes)  # the one that answered last comes first
        self._master = self._sentinels[0]
        self._greet_s = connect_timeout_s
        super().__init__(self._group.server_url(self._master), timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self.url = url

    def _locate(self) -> Mapping[str, Any]:
        self._master = self._ask_sentinels()
        return {"host": self._master.host, "port": self._master.port}

    def _greet(self, wire: Wire) -> None:
        wire.send(pack(("ROLE",)))
        if not wire.is_buffered() and not readable(self._greet_s, wire.socket.fileno()):
            raise BrokerUnavailableError(f"{self._master}, which is said to be the master, does not answer")
        if wire.read()[0] != b"master":
            raise BrokerRefusesError(f"the sentinels call {self._master} the master, but it is none (any more, or yet)")

    def _ask_sentinels(self) -> Node:
        """Where the master is.

        Raises:
            BrokerUnavailableError: no sentinel answers.
            BrokerRefusesError: those that answer do not know the service, or do not let us in.
        """
        refusal: BrokerRefusesError | None = None
        failures = []
        for sentinel in list(self._sentinels):
            try:
                found = self._ask(sentinel)
            except BrokerUnusableError as error:
                refusal = BrokerUnusableError(f"sentinel {sentinel}: {error}")
            except CommandRefusedError as error:
                refusal = BrokerUnusableError(f"{sentinel} is no sentinel, or does not answer this user: {error}")
            except BrokerRefusesError as error:
                refusal = BrokerRefusesError(f"sentinel {sentinel}: {error}")
            except BrokerReplyError as error:
                refusal = BrokerUnusableError(f"{sentinel} is no sentinel: {error}")
            except BizzMQError as error:
                failures.append(f"{sentinel} ({error})")
            else:
                if found is not None:
                    self._sentinels.remove(sentinel)
                    self._sentinels.insert(0, sentinel)
                    return found
                refusal = BrokerRefusesError(f"sentinel {sentinel} knows no service {self._group.service!r}")
        raise refusal or BrokerUnavailableError(f"no sentinel answers: {', '.join(failures)}")

    def _ask(self, sentinel: Node) -> Node | None:
        """What one sentinel says; None if it does not know the service."""
        connection = Connection(
            self._group.sentinel_url(sentinel), timeout_s=_SENTINEL_S, connect_timeout_s=_SENTINEL_S
        )
        try:
            found = connection.execute("SENTINEL", "get-master-addr-by-name", self._group.service)
        finally:
            connection.drop()
        return Node(found[0].decode(), int(found[1])) if found else None
