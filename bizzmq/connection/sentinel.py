"""A connection to the server that Redis Sentinel names as the master."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.connection.group_url import Node, ServerGroup
from bizzmq.connection.resp_socket import RespSocket, pack
from bizzmq.connection.url import check_url
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerReplyError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.utils.readiness import readable

SENTINEL_S = 1.0
"""Time limit of connecting to one sentinel, and of its reply, before the next one is asked."""


class SentinelConnection(Connection):
    """As Connection. Each opening asks the sentinels for the master, and checks that this server says it is the master.

    Any reply of a demoted master (READONLY, UNBLOCKED) drops the connection, so that the next command finds the new
    master.

    Args:
        url: `redis+sentinel://`, or `rediss+sentinel://` for TLS to sentinels and servers.
    """

    longest_block_s = 2.0  # a master that vanished without closing its connections is noticed only by its silence
    reply_s = 2.0

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self._group = group_url.parse(check_url(url))
        self._search = MasterSearch(self._group)
        self._master = self._group.nodes[0]
        self._greet_s = connect_timeout_s
        super().__init__(self._group.server_url(self._master), timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self.url = url

    def _locate(self) -> Mapping[str, Any]:
        self._master = self._find_master()
        return {"host": self._master.host, "port": self._master.port}

    def _greet(self, sock: RespSocket) -> None:
        sock.send(pack(("ROLE",)))
        if not sock.is_buffered() and not readable(self._greet_s, sock.fileno()):
            raise BrokerUnavailableError(f"{self._master}, the master according to the sentinels, does not answer")
        check_role(self._master, sock.read())

    def _find_master(self) -> Node:
        """The master, as the first sentinel that answers names it. Raises as MasterSearch."""
        search = self._search
        for sentinel in search.begin():
            try:
                found = search.found(sentinel, self._ask(sentinel))
            except BizzMQError as error:
                search.failed(sentinel, error)
            else:
                if found is not None:
                    return found
        raise search.failure()

    def _ask(self, sentinel: Node) -> Any:
        connection = Connection(self._group.sentinel_url(sentinel), timeout_s=SENTINEL_S, connect_timeout_s=SENTINEL_S)
        try:
            return connection.execute(*self._search.command)
        finally:
            connection.drop()


def check_role(master: Node, reply: Any) -> None:
    """Raise BrokerRefusesError unless a server's reply to ROLE says that it is the master."""
    if reply[0] != b"master":
        raise BrokerRefusesError(f"the sentinels call {master} the master, but it is not one (not yet, or no longer)")


class MasterSearch:
    """Asks one sentinel after the other for the master. The one that answered last comes first.

    Attributes:
        command: the question.
    """

    def __init__(self, group: ServerGroup) -> None:
        self._service = group.service
        self._sentinels = list(group.nodes)
        self.command = ("SENTINEL", "get-master-addr-by-name", group.service)
        self._refusal: BrokerRefusesError | None = None
        self._failures: list[str] = []

    def begin(self) -> list[Node]:
        """The sentinels to ask, in order."""
        self._refusal, self._failures = None, []
        return list(self._sentinels)

    def found(self, sentinel: Node, reply: Any) -> Node | None:
        """The master according to one sentinel; None if the sentinel does not know the service."""
        if not reply:
            self._refusal = BrokerRefusesError(f"sentinel {sentinel} does not know the service {self._service!r}")
            return None
        self._sentinels.remove(sentinel)
        self._sentinels.insert(0, sentinel)
        return Node(reply[0].decode(), int(reply[1]))

    def failed(self, sentinel: Node, error: BizzMQError) -> None:
        """Note the error of a sentinel."""
        if isinstance(error, BrokerUnusableError):
            self._refusal = BrokerUnusableError(f"sentinel {sentinel}: {error}")
        elif isinstance(error, CommandRefusedError):
            self._refusal = BrokerUnusableError(f"{sentinel} is not a sentinel, or does not permit this user: {error}")
        elif isinstance(error, BrokerRefusesError):
            self._refusal = BrokerRefusesError(f"sentinel {sentinel}: {error}")
        elif isinstance(error, BrokerReplyError):
            self._refusal = BrokerUnusableError(f"{sentinel} is not a sentinel: {error}")
        else:
            self._failures.append(f"{sentinel} ({error})")

    def failure(self) -> BrokerUnavailableError:
        """The error after all sentinels have failed: BrokerRefusesError if one of them has answered."""
        return self._refusal or BrokerUnavailableError(f"no sentinel answers: {', '.join(self._failures)}")
