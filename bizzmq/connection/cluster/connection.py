"""A connection to a Redis Cluster: all of its nodes, used as one connection."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.blocking import BlockingConnections
from bizzmq.connection.cluster.nodes import Nodes
from bizzmq.connection.cluster.slots import key_of, slot_of
from bizzmq.connection.error_mapping import SlotMovedError, SlotMovingError
from bizzmq.connection.group_url import Node
from bizzmq.connection.url import check_url
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerUnavailableError
from bizzmq.utils.redaction import redact

REDIRECTIONS = 5


class ClusterConnection:
    """Sends each command to the node that serves its key's slot, over one connection to each node.

    It follows redirections. While a slot is being moved (TRYAGAIN) or the cluster is failing over (CLUSTERDOWN, no
    connection), its queues are unavailable, as in any other outage. After it, the nodes are asked for the slots again.

    Args:
        url: `redis+cluster://`, or `rediss+cluster://` for TLS.
        timeout_s: time limit of each reply, seconds.
        connect_timeout_s: time limit of opening a connection, seconds.
    """

    longest_block_s = 2.0  # a node that vanished without closing its connections is noticed only by its silence
    reply_s = 2.0
    spans_nodes = True

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self.url = url
        self._nodes = Nodes(group_url.parse(check_url(url)), timeout_s, connect_timeout_s)
        self._blocking = BlockingConnections(self._nodes, self._put_back)
        self._blocked_at: Node | None = None

    def __repr__(self) -> str:
        return f"ClusterConnection({redact(self.url)!r})"

    def at(self, key: str) -> Connection:
        """The connection to the node that serves this key now."""
        return self._nodes.commands_to(self._nodes.serving(slot_of(key)))

    def execute(self, *args: Any) -> Any:
        """Send one command and return its reply. Raises as Connection.execute does."""
        return self._follow(
            key_of(args),
            lambda connection: connection.execute(*args),
            lambda connection: connection.execute_all(("ASKING",), args)[-1],
        )

    def execute_plain(self, command: tuple[str | bytes, ...]) -> Any:
        """As Connection.execute_plain."""
        return self.execute(*command)

    @property
    def on_open(self) -> Callable[[], None]:
        """Called after each opening of a connection for commands."""
        return self._nodes.on_open

    @on_open.setter
    def on_open(self, action: Callable[[], None]) -> None:
        self._nodes.on_open = action

    @property
    def is_open(self) -> bool:
        """Whether there is an open connection for commands."""
        return self._nodes.are_open

    def refresh(self) -> None:
        """As Connection.refresh, for all connections for commands."""
        self._nodes.refresh()

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands on keys of one slot, executed in one step (MULTI).

        Raises:
            SlotMovingError: the slot is being moved, and not all of its keys are on the same node.
        """
        replies: list[Any] = self._follow(key_of(commands[0]), lambda connection: connection.transaction(*commands))
        return replies

    def block(self, keys: Sequence[str], timeout_s: float) -> None:
        """Block on sorted sets in any slots. `wait` waits for a reply, `unblocked` reads it."""
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(slot_of(key), []).append(key)
        self._blocked_at = None
        if len(groups) > 1:
            self._blocking.block(groups, timeout_s)
            return
        (slot,) = groups
        node = self._nodes.serving(slot)
        self._nodes.commands_to(node).block(keys, timeout_s)
        self._blocked_at = node

    def wait(self, timeout_s: float, *others: int) -> bool:
        """As Connection.wait, for all keys of `block`."""
        if self._blocked_at is None:
            return self._blocking.wait(timeout_s, *others)
        return self._nodes.commands_to(self._blocked_at).wait(timeout_s, *others)

    def unblocked(self) -> None:
        """Read the reply to `block`."""
        node, self._blocked_at = self._blocked_at, None
        if node is None:
            self._blocking.unblocked()
            return
        try:
            self._nodes.commands_to(node).unblocked()
        except SlotMovedError:
            self._nodes.doubt()  # the wait is over, and the next claim finds the new node

    def drop(self) -> None:
        """Close all connections; the next command opens new ones, and asks for the slots again."""
        self._nodes.doubt(self._blocked_at)
        self._blocked_at = None
        self._blocking.drop()
        self._nodes.drop()

    def _follow(
        self,
        key: str | bytes | None,
        action: Callable[[Connection], Any],
        asking: Callable[[Connection], Any] | None = None,
    ) -> Any:
        """Execute an action on the node that serves a key, and follow redirections."""
        if key is None:
            return self._anywhere(action)
        slot = slot_of(key)
        node, act = self._nodes.serving(slot), action
        for _ in range(REDIRECTIONS):
            try:
                return act(self._nodes.commands_to(node))
            except SlotMovingError as moving:
                if asking is None:
                    raise
                node, act = target(moving, node), asking
            except SlotMovedError as moved:
                node, act = target(moved, node), action
                self._nodes.moved(slot, node)
        self._nodes.doubt()
        raise BrokerRefusesError(f"the nodes of the cluster do not agree on which of them serves slot {slot}")

    def _anywhere(self, action: Callable[[Connection], Any]) -> Any:
        """Execute an action on any node that can be reached."""
        for _ in range(REDIRECTIONS):
            try:
                return action(self._nodes.commands_to(self._nodes.serving(None)))
            except BrokerRefusesError:
                raise
            except BrokerUnavailableError:
                continue  # this node comes last from now on
        return action(self._nodes.commands_to(self._nodes.serving(None)))

    def _put_back(self, key: str) -> None:
        """Set a marker again that was popped although another one had woken this worker."""
        try:
            self.execute("ZADD", key, 0, "m")
        except BizzMQError:
            return  # a marker is only a hint: idle workers also look from time to time


def target(redirection: SlotMovedError, by: Node) -> Node:
    """The node of a redirection. Without a host it is on the host of the node that replied."""
    node = redirection.node
    return node if node.host else Node(by.host, node.port)
