"""The nodes of a cluster: which of them serves a slot, a connection to each, and which cannot be reached."""

from __future__ import annotations

from typing import Callable

from bizzmq import clock
from bizzmq.address import Group, Node
from bizzmq.connection import Connection
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerUnavailableError, BrokerUnusableError
from bizzmq.slots import SlotMap
from bizzmq.wire import Wire

_LEARN_S = 1.0
"""How long one node may take to say who serves which slot, before the next one is asked."""
_COLD_S = 0.5
"""How long a node is not tried again after it could not be reached: other queues' commands need not find out, too."""


class NodeConnection(Connection):
    """As Connection; whoever uses it, what goes wrong is told to those who choose between nodes.

    Args:
        refuse: raises if there should be no try to open it now.
        failed: called with each BrokerUnavailableError.
    """

    def __init__(
        self,
        url: str,
        refuse: Callable[[], None],
        failed: Callable[[BrokerUnavailableError], None],
        *,
        timeout_s: float,
        connect_timeout_s: float,
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self._refuse, self._failed = refuse, failed

    def _open(self) -> Wire:
        self._refuse()
        try:
            return super()._open()
        except BrokerUnavailableError as error:
            self._failed(error)
            raise

    def _lost(self, error: BrokerUnavailableError) -> None:
        self._failed(error)


class Nodes:
    """One connection to each node for commands, and new ones for whoever blocks."""

    def __init__(self, group: Group, timeout_s: float, connect_timeout_s: float) -> None:
        self._group = group
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._slots = SlotMap(group.nodes)
        self._connections: dict[Node, Connection] = {}
        self.on_open: Callable[[], None] = lambda: None
        self._cold_until_s: dict[Node, float] = {}

    def serving(self, slot: int | None) -> Node:
        """The node that serves a slot; some node for None.

        Raises:
            BrokerUnavailableError: no node answers, or none serves it.
        """
        if self._slots.stale:
            self._learn()
        node = self._slots.any_node() if slot is None else self._slots.node_of(slot)
        if node is None:
            self._slots.stale = True
            raise BrokerRefusesError(
                "no node of the cluster serves any slot" if slot is None else f"no node serves slot {slot}"
            )
        return node

    def commands_to(self, node: Node) -> Connection:
        """The connection for commands to a node."""
        connection = self._connections.get(node)
        if connection is None:
            connection = self.another_to(node)
            connection.on_open = self._opened
            self._connections[node] = connection
        return connection

    @property
    def are_open(self) -> bool:
        """Whether a connection for commands is open."""
        return any(connection.is_open for connection in self._connections.values())

    def refresh(self) -> None:
        """Drop the connections for commands that were closed since they were last used."""
        for connection in self._connections.values():
            connection.refresh()

    def _opened(self) -> None:
        self.on_open()

    def another_to(self, node: Node) -> Connection:
        """One more connection to a node, which the caller has to close.

        To open it fails at once, without a try, if the node has just been away.
        """
        return NodeConnection(
            self._group.server_url(node),
            lambda: self._refuse_if_cold(node),
            lambda error: self._note(node, error),
            timeout_s=self._timeout_s,
            connect_timeout_s=self._connect_timeout_s,
        )

    def moved(self, slot: int, node: Node) -> None:
        """Note a redirection."""
        self._slots.move(slot, node)

    def doubt(self, node: Node | None = None) -> None:
        """Ask anew who serves what before the next command; this node last."""
        self._slots.stale = True
        if node is not None:
            self._slots.failed(node)

    def drop(self) -> None:
        """Close the connections for commands; the next ones open new ones."""
        for connection in self._connections.values():
            connection.drop()

    def _refuse_if_cold(self, node: Node) -> None:
        if clock.monotonic() < self._cold_until_s.get(node, 0.0):
            raise BrokerUnavailableError(f"{node} could not be reached a moment ago")

    def _note(self, node: Node, error: BrokerUnavailableError) -> None:
        """Note that a node is away, or what it cannot do now."""
        self._slots.failed(node)
        if not isinstance(error, BrokerRefusesError):
            self._cold_until_s[node] = clock.monotonic() + _COLD_S

    def _learn(self) -> None:
        """Ask for the slots, until one node answers.

        Raises:
            BrokerUnavailableError: none does.
            BrokerRefusesError: they answer that they are no cluster, or do not let us in.
        """
        refusal: BrokerRefusesError | None = None
        failures = []
        for node in self._slots.candidates():
            connection = Connection(self._group.server_url(node), timeout_s=_LEARN_S, connect_timeout_s=_LEARN_S)
            try:
                self._slots.learn(connection.execute("CLUSTER", "SLOTS"), node)
                return
            except BrokerUnavailableError as error:
                refusal = error if isinstance(error, BrokerRefusesError) else refusal
                failures.append(f"{node} ({error})")
            except BizzMQError as error:
                refusal = BrokerUnusableError(f"{node} is no node of a cluster: {error}")
            finally:
                connection.drop()
        raise refusal or BrokerUnavailableError(f"no node of the cluster answers: {', '.join(failures)}")
