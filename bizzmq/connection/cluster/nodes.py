"""The nodes of a cluster: which node serves a slot, a connection to each node, and which nodes cannot be reached."""

from __future__ import annotations

from typing import Callable, Sequence

from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.slots import SlotMap
from bizzmq.connection.group_url import Node, ServerGroup
from bizzmq.connection.resp_socket import RespSocket
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.utils import clock

LEARN_S = 1.0
"""Time limit of one node's reply to CLUSTER SLOTS, before the next node is asked."""
_AWAY_S = 0.5
"""How long a node is not tried again after a failure to reach it, so that not every queue's command has to wait."""


class NodeConnection(Connection):
    """As Connection. It reports each failure to Nodes, which chooses between the nodes.

    Args:
        check: raises if the node should not be tried now.
        failed: called with each BrokerUnavailableError.
    """

    def __init__(
        self,
        url: str,
        check: Callable[[], None],
        failed: Callable[[BrokerUnavailableError], None],
        *,
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self._check, self._failed = check, failed

    def _open(self) -> RespSocket:
        self._check()
        try:
            return super()._open()
        except BrokerUnavailableError as error:
            self._failed(error)
            raise

    def _lost(self, error: BrokerUnavailableError) -> None:
        self._failed(error)


class Nodes:
    """One connection to each node for commands, and new connections for blocking commands."""

    def __init__(self, group: ServerGroup, timeout_s: float, connect_timeout_s: float) -> None:
        self._group = group
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._slots = SlotMap(group.nodes)
        self._connections: dict[Node, Connection] = {}
        self.on_open: Callable[[], None] = lambda: None
        self._away = NodesAway()

    def serving(self, slot: int | None) -> Node:
        """The node that serves a slot; any node for None.

        Raises:
            BrokerUnavailableError: no node answers, or none serves the slot.
        """
        if self._slots.stale:
            self._learn()
        node = self._slots.any_node() if slot is None else self._slots.node_of(slot)
        if node is None:
            self._slots.stale = True
            raise no_node(slot)
        return node

    def commands_to(self, node: Node) -> Connection:
        """The connection for commands to a node."""
        connection = self._connections.get(node)
        if connection is None:
            connection = self.new_connection(node)
            connection.on_open = self._opened
            self._connections[node] = connection
        return connection

    @property
    def are_open(self) -> bool:
        """Whether a connection for commands is open."""
        return any(connection.is_open for connection in self._connections.values())

    def refresh(self) -> None:
        """Drop the connections for commands that were closed since their last use."""
        for connection in self._connections.values():
            connection.refresh()

    def _opened(self) -> None:
        self.on_open()

    def new_connection(self, node: Node) -> Connection:
        """A further connection to a node, which the caller closes.

        Opening it fails at once, without a try, if the node could not be reached a moment ago.
        """
        return NodeConnection(
            self._group.server_url(node),
            lambda: self._away.check(node),
            lambda error: self._failed(node, error),
            timeout_s=self._timeout_s,
            connect_timeout_s=self._connect_timeout_s,
        )

    def moved(self, slot: int, node: Node) -> None:
        """Note a redirection."""
        self._slots.move(slot, node)

    def doubt(self, node: Node | None = None) -> None:
        """Ask for the slots again before the next command, and ask this node last."""
        self._slots.stale = True
        if node is not None:
            self._slots.failed(node)

    def drop(self) -> None:
        """Close the connections for commands; the next command opens a new one."""
        for connection in self._connections.values():
            connection.drop()

    def _failed(self, node: Node, error: BrokerUnavailableError) -> None:
        """Note that a node cannot be reached, or refuses commands."""
        self._slots.failed(node)
        self._away.failed(node, error)

    def _learn(self) -> None:
        """Ask one node after the other for the slots, until one answers. Raises as `learning_failure`."""
        failures: list[tuple[Node, BizzMQError]] = []
        for node in self._slots.candidates():
            connection = Connection(self._group.server_url(node), timeout_s=LEARN_S, connect_timeout_s=LEARN_S)
            try:
                self._slots.learn(connection.execute("CLUSTER", "SLOTS"), node)
                return
            except BizzMQError as error:
                failures.append((node, error))
            finally:
                connection.drop()
        raise learning_failure(failures)


class NodesAway:
    """The nodes that could not be reached a moment ago."""

    def __init__(self) -> None:
        self._until_s: dict[Node, float] = {}

    def check(self, node: Node) -> None:
        """Raise BrokerUnavailableError if a node should not be tried now."""
        if clock.monotonic() < self._until_s.get(node, 0.0):
            raise BrokerUnavailableError(f"{node} could not be reached a moment ago")

    def failed(self, node: Node, error: BrokerUnavailableError) -> None:
        """Note a failure. A node that refuses a command has been reached."""
        if not isinstance(error, BrokerRefusesError):
            self._until_s[node] = clock.monotonic() + _AWAY_S


def no_node(slot: int | None) -> BrokerRefusesError:
    """The error if no node serves a slot, or any slot."""
    return BrokerRefusesError(
        "no node of the cluster serves any slot" if slot is None else f"no node serves slot {slot}"
    )


def learning_failure(failures: Sequence[tuple[Node, BizzMQError]]) -> BrokerUnavailableError:
    """The error after no node has told the slots.

    It is a BrokerRefusesError if one of them is not a node of a cluster, or refuses the connection.
    """
    refusal: BrokerRefusesError | None = None
    for node, error in failures:
        if isinstance(error, BrokerRefusesError):
            refusal = error
        elif not isinstance(error, BrokerUnavailableError):
            refusal = BrokerUnusableError(f"{node} is not a node of a cluster: {error}")
    silent = [f"{node} ({error})" for node, error in failures if isinstance(error, BrokerUnavailableError)]
    return refusal or BrokerUnavailableError(f"no node of the cluster answers: {', '.join(silent)}")
