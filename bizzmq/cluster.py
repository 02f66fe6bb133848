"""The nodes of a Redis Cluster, used like one connection."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bizzmq import address
from bizzmq.address import Node
from bizzmq.connection import Connection
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerUnavailableError
from bizzmq.foreign import SlotMovedError, SlotMovingError
from bizzmq.nodes import Nodes
from bizzmq.redaction import redact
from bizzmq.slots import key_of, slot_of
from bizzmq.url import check_url
from bizzmq.waiters import Waiters

_REDIRECTIONS = 5


class ClusterConnection:
    """Sends each command to the node that serves its key's slot, over one connection to each node.

    It follows redirections. While a slot is being moved (TRYAGAIN), or the cluster is failing over (CLUSTERDOWN, no
    connection), its queues are unavailable: an outage like any other, after which the nodes are asked anew.

    Args:
        url: `redis+cluster://`, or `rediss+cluster://` for TLS.
        timeout_s: bound of every reply, seconds.
        connect_timeout_s: bound of opening a connection, seconds.
    """

    longest_block_s = 2.0  # a node that vanished without a word is noticed only by its silence
    reply_s = 2.0
    spans_nodes = True

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self.url = url
        self._nodes = Nodes(address.parse(check_url(url)), timeout_s, connect_timeout_s)
        self._waiters = Waiters(self._nodes, self._put_back)
        self._blocked_at: Node | None = None

    def __repr__(self) -> str:
        return f"ClusterConnection({redact(self.url)!r})"

    def at(self, key: str) -> Connection:
        """The connection over which commands for this key go now."""
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
        """The replies to some commands on keys of one slot, run in one step.

        Raises:
            SlotMovingError: the slot is being moved, and its keys are not all in one place.
        """
        replies: list[Any] = self._follow(key_of(commands[0]), lambda connection: connection.transaction(*commands))
        return replies

    def block(self, keys: Sequence[str], timeout_s: float) -> None:
        """Block on sorted sets in any slots; `wait` tells when `unblocked` will find a reply."""
        groups: dict[int, list[str]] = {}
        for key in keys:
            groups.setdefault(slot_of(key), []).append(key)
        self._blocked_at = None
        if len(groups) > 1:
            self._waiters.block(groups, timeout_s)
            return
        (slot,) = groups
        node = self._nodes.serving(slot)
        self._nodes.commands_to(node).block(keys, timeout_s)
        self._blocked_at = node

    def wait(self, timeout_s: float, *others: int) -> bool:
        """As Connection.wait, for all that `block` waits for."""
        if self._blocked_at is None:
            return self._waiters.wait(timeout_s, *others)
        return self._nodes.commands_to(self._blocked_at).wait(timeout_s, *others)

    def unblocked(self) -> None:
        """Read the reply to `block`."""
        node, self._blocked_at = self._blocked_at, None
        if node is None:
            self._waiters.unblocked()
            return
        try:
            self._nodes.commands_to(node).unblocked()
        except SlotMovedError:
            self._nodes.doubt()  # which is as good a reason as any to look at the queue again

    def drop(self) -> None:
        """Close all connections; the next command opens new ones, and asks anew who serves what."""
        self._nodes.doubt(self._blocked_at)
        self._blocked_at = None
        self._waiters.drop()
        self._nodes.drop()

    def _follow(
        self,
        key: str | bytes | None,
        action: Callable[[Connection], Any],
        asking: Callable[[Connection], Any] | None = None,
    ) -> Any:
        """Do something at the node that serves a key, wherever its cluster says that is."""
        if key is None:
            return self._anywhere(action)
        slot = slot_of(key)
        node, act = self._nodes.serving(slot), action
        for _ in range(_REDIRECTIONS):
            try:
                return act(self._nodes.commands_to(node))
            except SlotMovingError as moving:
                if asking is None:
                    raise
                node, act = _told(moving, node), asking
            except SlotMovedError as moved:
                node, act = _told(moved, node), action
                self._nodes.moved(slot, node)
        self._nodes.doubt()
        raise BrokerRefusesError(f"the nodes of the cluster do not agree who serves slot {slot}")

    def _anywhere(self, action: Callable[[Connection], Any]) -> Any:
        """Do something that any node can do, at one that is there."""
        for _ in range(_REDIRECTIONS):
            try:
                return action(self._nodes.commands_to(self._nodes.serving(None)))
            except BrokerRefusesError:
                raise
            except BrokerUnavailableError:
                continue  # it comes last from now on
        return action(self._nodes.commands_to(self._nodes.serving(None)))

    def _put_back(self, key: str) -> None:
        """Set a marker again that was popped while another one had called us already."""
        try:
            self.execute("ZADD", key, 0, "m")
        except BizzMQError:
            return  # a marker is a hint: who waits for it looks by himself soon


def _told(redirection: SlotMovedError, by: Node) -> Node:
    node = redirection.node
    return node if node.host else Node(by.host, node.port)
