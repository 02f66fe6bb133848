"""A connection of an event loop to a Redis Cluster: all of its nodes, used as one connection."""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Sequence

from bizzmq.aio.connection.base import AsyncConnection
from bizzmq.aio.connection.wire import Wire
from bizzmq.connection import group_url
from bizzmq.connection.cluster.connection import REDIRECTIONS, target
from bizzmq.connection.cluster.nodes import LEARN_S, NodesAway, learning_failure, no_node
from bizzmq.connection.cluster.slots import SlotMap, key_of, slot_of
from bizzmq.connection.error_mapping import SlotMovedError, SlotMovingError
from bizzmq.connection.group_url import Node
from bizzmq.connection.url import check_url
from bizzmq.errors import BizzMQError, BrokerRefusesError, BrokerUnavailableError
from bizzmq.utils.redaction import redact

Action = Callable[[AsyncConnection], Awaitable[Any]]


class _NodeConnection(AsyncConnection):
    """As AsyncConnection. It is not opened while the node counts as away, and reports each failure."""

    def __init__(
        self, url: str, node: Node, away: NodesAway, slots: SlotMap, *, timeout_s: float, connect_timeout_s: float
    ) -> None:
        super().__init__(url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        self._node, self._away, self._slots = node, away, slots

    async def _open(self) -> Wire:
        self._away.check(self._node)
        try:
            return await super()._open()
        except BrokerUnavailableError as error:
            self._lost(error)
            raise

    def _lost(self, error: BrokerUnavailableError) -> None:
        self._slots.failed(self._node)
        self._away.failed(self._node, error)


class AsyncClusterConnection:
    """Sends each command to the node that serves its key's slot, over one connection to each node.

    As `bizzmq.connection.cluster.connection.ClusterConnection`, for one task at a time.

    Args:
        url: `redis+cluster://`, or `rediss+cluster://` for TLS.
    """

    longest_block_s = 2.0  # a node that vanished without closing its connections is noticed only by its silence
    reply_s = 2.0
    spans_nodes = True

    def __init__(self, url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> None:
        self.url = url
        self.on_open: Callable[[], None] = lambda: None
        self._group = group_url.parse(check_url(url))
        self._timeout_s, self._connect_timeout_s = timeout_s, connect_timeout_s
        self._slots = SlotMap(self._group.nodes)
        self._away = NodesAway()
        self._connections: dict[Node, AsyncConnection] = {}

    def __repr__(self) -> str:
        return f"AsyncClusterConnection({redact(self.url)!r})"

    @property
    def is_open(self) -> bool:
        """Whether there is an open connection."""
        return any(connection.is_open for connection in self._connections.values())

    async def at(self, key: str) -> AsyncConnection:
        """The connection to the node that serves this key now."""
        return self._commands_to(await self._serving(slot_of(key)))

    async def execute(self, *args: Any, wait_s: float = 0.0) -> Any:
        """Send one command and return its reply. Raises as AsyncConnection.execute does."""

        async def asking(connection: AsyncConnection) -> Any:
            return (await connection.execute_all(("ASKING",), args))[-1]

        return await self._follow(key_of(args), lambda connection: connection.execute(*args, wait_s=wait_s), asking)

    async def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """The replies to some commands on keys of one slot, executed in one step (MULTI).

        Raises:
            SlotMovingError: the slot is being moved, and not all of its keys are on the same node.
        """
        key = key_of(commands[0])
        replies: list[Any] = await self._follow(key, lambda connection: connection.transaction(*commands))
        return replies

    def drop(self) -> None:
        """Close all connections; the next command opens new ones, and asks for the slots again."""
        self._slots.stale = True
        for connection in self._connections.values():
            connection.drop()

    async def _serving(self, slot: int | None) -> Node:
        """The node that serves a slot; any node for None. Raises BrokerUnavailableError."""
        if self._slots.stale:
            await self._learn()
        node = self._slots.any_node() if slot is None else self._slots.node_of(slot)
        if node is None:
            self._slots.stale = True
            raise no_node(slot)
        return node

    async def _learn(self) -> None:
        """Ask one node after the other for the slots, until one answers. Raises as `learning_failure`."""
        failures: list[tuple[Node, BizzMQError]] = []
        for node in self._slots.candidates():
            url = self._group.server_url(node)
            connection = AsyncConnection(url, timeout_s=LEARN_S, connect_timeout_s=LEARN_S)
            try:
                self._slots.learn(await connection.execute("CLUSTER", "SLOTS"), node)
                return
            except BizzMQError as error:
                failures.append((node, error))
            finally:
                connection.drop()
        raise learning_failure(failures)

    def _commands_to(self, node: Node) -> AsyncConnection:
        connection = self._connections.get(node)
        if connection is None:
            connection = self._connections[node] = _NodeConnection(
                self._group.server_url(node), node, self._away, self._slots,
                timeout_s=self._timeout_s, connect_timeout_s=self._connect_timeout_s,
            )  # fmt: skip
            connection.on_open = self._opened
        return connection

    def _opened(self) -> None:
        self.on_open()

    async def _follow(self, key: str | bytes | None, action: Action, asking: Action | None = None) -> Any:
        """Execute an action on the node that serves a key, and follow redirections."""
        if key is None:
            return await self._anywhere(action)
        slot = slot_of(key)
        node, act = await self._serving(slot), action
        for _ in range(REDIRECTIONS):
            try:
                return await act(self._commands_to(node))
            except SlotMovingError as moving:
                if asking is None:
                    raise
                node, act = target(moving, node), asking
            except SlotMovedError as moved:
                node, act = target(moved, node), action
                self._slots.move(slot, node)
        self._slots.stale = True
        raise BrokerRefusesError(f"the nodes of the cluster do not agree on which of them serves slot {slot}")

    async def _anywhere(self, action: Action) -> Any:
        """Execute an action on any node that can be reached."""
        for _ in range(REDIRECTIONS):
            try:
                return await action(self._commands_to(await self._serving(None)))
            except BrokerRefusesError:
                raise
            except BrokerUnavailableError:
                continue  # this node comes last from now on
        return await action(self._commands_to(await self._serving(None)))
