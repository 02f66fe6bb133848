"""Waiting for keys in several slots of a cluster at once: one blocked connection for each slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping, Sequence

from bizzmq.address import Node
from bizzmq.connection import Connection, readable
from bizzmq.errors import BizzMQError, BrokerReplyError, BrokerUnavailableError
from bizzmq.foreign import SlotMovedError
from bizzmq.nodes import Nodes

_CANCEL_S = 1.0
"""How long a node may take to cancel a blocking command."""
_OVERTAKEN_S = 0.05
"""How long a reply may take that should be there already."""


@dataclass
class _Waiter:
    node: Node
    connection: Connection
    client: int = 0


class Waiters:
    """Blocks on keys of several slots. A command on all of them at once is no command of a cluster's.

    As soon as one key has woken us, the others are no longer waited for: a marker that is popped while we are at
    work would be missed by those who wait.

    Args:
        put_back: says again what a key has told; called where more than one key has told us.
    """

    def __init__(self, nodes: Nodes, put_back: Callable[[str], None]) -> None:
        self._nodes = nodes
        self._put_back = put_back
        self._waiters: dict[int, _Waiter] = {}
        self._blocked: list[_Waiter] = []

    def block(self, groups: Mapping[int, Sequence[str]], timeout_s: float) -> None:
        """Block on the keys of each slot.

        Raises:
            BrokerUnavailableError: not one of their nodes can be reached.
        """
        for waiter in self._blocked:
            waiter.connection.drop()  # its reply was never read, and must not answer this command
        self._blocked = []
        failure: BrokerUnavailableError | None = None
        for slot, keys in groups.items():
            try:
                waiter = self._waiter(slot)
                waiter.connection.block(keys, timeout_s)
            except BrokerUnavailableError as error:
                failure = error  # its messages are found by the claims that go on without a wake-up
            else:
                self._blocked.append(waiter)
        if failure is not None and not self._blocked:
            raise failure

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Whether one of them has a reply, at most `timeout_s` later; see Connection.wait."""
        try:
            own = [waiter.connection.pending() for waiter in self._blocked]
        except BrokerUnavailableError:
            return True  # which one it was is found out by `unblocked`
        if not own or min(own) < 0:
            return True
        return not readable(timeout_s, *own, *others).isdisjoint(own)

    def unblocked(self) -> None:
        """Read the replies that are there, and cancel the other commands.

        Raises:
            BrokerReplyError: of one of them, when all have been seen to. That a node is away or has no longer the
                slot is no error: the next command to it will tell.
        """
        blocked, self._blocked = self._blocked, []
        told: list[str] = []
        failure: BrokerReplyError | None = None
        late = [waiter for waiter in blocked if not self._has_reply(waiter)]
        for waiter in blocked:
            if waiter not in late or self._cancel(waiter):
                try:
                    reply = waiter.connection.unblocked()
                except SlotMovedError:
                    self._nodes.doubt()
                except BrokerReplyError as error:
                    failure = error
                except BizzMQError:
                    continue
                else:
                    told += [reply[0].decode()] if reply else []
        for key in told[1:]:
            self._put_back(key)
        if failure is not None:
            raise failure

    def drop(self) -> None:
        """Close all of them."""
        for waiter in self._waiters.values():
            waiter.connection.drop()
        self._waiters.clear()
        self._blocked.clear()

    def _waiter(self, slot: int) -> _Waiter:
        node = self._nodes.serving(slot)
        waiter = self._waiters.get(slot)
        if waiter is not None and waiter.node != node:
            waiter.connection.drop()
            waiter = None
        if waiter is None:
            waiter = self._waiters[slot] = _Waiter(node, self._nodes.another_to(node))
        if not waiter.connection.is_open or not waiter.client:
            waiter.client = 0
            waiter.client = int(waiter.connection.execute("CLIENT", "ID"))
        return waiter

    def _has_reply(self, waiter: _Waiter) -> bool:
        try:
            return waiter.connection.pending() < 0
        except BrokerUnavailableError:
            return True  # that it is lost is all there is to read

    def _cancel(self, waiter: _Waiter) -> bool:
        """End a blocking command; whether its reply can be read. If not, its connection is new next time."""
        commands = self._nodes.commands_to(waiter.node)
        try:
            commands.send(("CLIENT", "UNBLOCK", waiter.client))
            if not commands.wait(_CANCEL_S):
                commands.drop()
                self._nodes.doubt(waiter.node)
            elif commands.read() == 1 or waiter.connection.wait(_OVERTAKEN_S):
                return True
        except BizzMQError:  # also that this user may not do it
            waiter.connection.drop()
            return False
        waiter.connection.drop()
        return False
