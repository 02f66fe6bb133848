"""Blocking on keys in several slots of a cluster at once: one blocked connection for each slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping, Sequence

from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.nodes import Nodes
from bizzmq.connection.error_mapping import SlotMovedError
from bizzmq.connection.group_url import Node
from bizzmq.errors import BizzMQError, BrokerReplyError, BrokerUnavailableError
from bizzmq.utils.readiness import readable

_CANCEL_S = 1.0
"""Time limit of a node's reply to CLIENT UNBLOCK."""
_OVERTAKEN_S = 0.05
"""Time limit of a reply that should have arrived already."""


@dataclass
class _Blocked:
    node: Node
    connection: Connection
    client: int = 0


class BlockingConnections:
    """Blocks on keys of several slots. A cluster has no command for keys of different slots.

    As soon as one key has a marker, the other commands are cancelled: a marker that is popped while this worker is busy
    would not wake an idle one.

    Args:
        put_back: sets the marker of a key again; called for each further key if several had a marker.
    """

    def __init__(self, nodes: Nodes, put_back: Callable[[str], None]) -> None:
        self._nodes = nodes
        self._put_back = put_back
        self._by_slot: dict[int, _Blocked] = {}
        self._blocked: list[_Blocked] = []

    def block(self, groups: Mapping[int, Sequence[str]], timeout_s: float) -> None:
        """Block on the keys of each slot.

        Raises:
            BrokerUnavailableError: none of their nodes can be reached.
        """
        for blocked in self._blocked:
            blocked.connection.drop()  # its reply was never read, and must not answer this command
        self._blocked = []
        failure: BrokerUnavailableError | None = None
        for slot, keys in groups.items():
            try:
                blocked = self._connected(slot)
                blocked.connection.block(keys, timeout_s)
            except BrokerUnavailableError as error:
                failure = error  # claims go on without a wake-up, and find this slot's messages
            else:
                self._blocked.append(blocked)
        if failure is not None and not self._blocked:
            raise failure

    def wait(self, timeout_s: float, *others: int) -> bool:
        """Whether one of them has a reply, at most `timeout_s` later; see Connection.wait."""
        try:
            own = [blocked.connection.pending() for blocked in self._blocked]
        except BrokerUnavailableError:
            return True  # `unblocked` finds out which one it is
        if not own or min(own) < 0:
            return True
        return not readable(timeout_s, *own, *others).isdisjoint(own)

    def unblocked(self) -> None:
        """Read the replies that have arrived, and cancel the other commands.

        Raises:
            BrokerReplyError: of one of them, after all of them have been handled. It is not an error that a node is
                away or no longer has the slot: the next command to it finds out.
        """
        blocked, self._blocked = self._blocked, []
        woken: list[str] = []
        failure: BrokerReplyError | None = None
        waiting = [one for one in blocked if not self._has_reply(one)]
        for one in blocked:
            if one not in waiting or self._cancel(one):
                try:
                    reply = one.connection.unblocked()
                except SlotMovedError:
                    self._nodes.doubt()
                except BrokerReplyError as error:
                    failure = error
                except BizzMQError:
                    continue
                else:
                    woken += [reply[0].decode()] if reply else []
        for key in woken[1:]:
            self._put_back(key)
        if failure is not None:
            raise failure

    def drop(self) -> None:
        """Close all of them."""
        for blocked in self._by_slot.values():
            blocked.connection.drop()
        self._by_slot.clear()
        self._blocked.clear()

    def _connected(self, slot: int) -> _Blocked:
        node = self._nodes.serving(slot)
        blocked = self._by_slot.get(slot)
        if blocked is not None and blocked.node != node:
            blocked.connection.drop()
            blocked = None
        if blocked is None:
            blocked = self._by_slot[slot] = _Blocked(node, self._nodes.new_connection(node))
        if not blocked.connection.is_open or not blocked.client:
            blocked.client = 0
            blocked.client = int(blocked.connection.execute("CLIENT", "ID"))
        return blocked

    def _has_reply(self, blocked: _Blocked) -> bool:
        try:
            return blocked.connection.pending() < 0
        except BrokerUnavailableError:
            return True  # reading the reply raises the error

    def _cancel(self, blocked: _Blocked) -> bool:
        """Cancel a blocking command; whether its reply can be read. If not, its connection is dropped."""
        commands = self._nodes.commands_to(blocked.node)
        try:
            commands.send(("CLIENT", "UNBLOCK", blocked.client))
            if not commands.wait(_CANCEL_S):
                commands.drop()
                self._nodes.doubt(blocked.node)
            elif commands.read() == 1 or blocked.connection.wait(_OVERTAKEN_S):
                return True
        except BizzMQError:  # also if this user may not use CLIENT UNBLOCK
            blocked.connection.drop()
            return False
        blocked.connection.drop()
        return False
