"""Which node of a cluster serves which slot, as far as its nodes have said."""

from __future__ import annotations

import binascii
from bisect import bisect_right
from functools import lru_cache
from typing import Any, Sequence

from bizzmq.address import Node

SLOTS = 16384
_SCRIPTS = ("EVALSHA", "EVAL")
_KEYLESS = ("PING", "TIME", "INFO", "CONFIG", "ACL", "CLIENT", "CLUSTER", "SCRIPT", "ROLE", "LATENCY", "SLOWLOG")


@lru_cache(maxsize=4096)
def slot_of(key: str | bytes) -> int:
    """The slot of a key: that of what stands in its first braces, if anything does."""
    name = key.encode("utf-8") if isinstance(key, str) else key
    begin = name.find(b"{")
    end = name.find(b"}", begin + 1) if begin >= 0 else -1
    tag = name[begin + 1 : end] if end > begin + 1 else name
    return binascii.crc_hqx(tag, 0) % SLOTS


def key_of(args: Sequence[Any]) -> str | bytes | None:
    """The first key of a command; None if it has none and so may go to any node."""
    name = args[0]
    if name in _SCRIPTS:
        return args[3] if int(args[2]) else None
    return None if name in _KEYLESS or len(args) < 2 else args[1]


class SlotMap:
    """The slots as the last node that was asked knew them, and what redirections have told since.

    Args:
        seeds: the nodes that the address names. They are asked as well when all nodes known by then are gone.

    Attributes:
        stale: whether the nodes should be asked again before it is used.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        self._seeds = tuple(seeds)
        self._asked: list[Node] = list(seeds)
        self._starts: list[int] = []
        self._ranges: list[tuple[int, Node]] = []  # last slot and master of the range that begins at _starts[i]
        self._moved: dict[int, Node] = {}
        self.stale = True

    def candidates(self) -> list[Node]:
        """Whom to ask, the most promising first."""
        return list(self._asked)

    def learn(self, told: Sequence[Any], by: Node) -> None:
        """Take over a reply to CLUSTER SLOTS."""
        ranges: list[tuple[int, int, Node]] = []
        known = [by]
        for first, last, *servers in told:
            nodes = [_node(server, by) for server in servers]
            ranges.append((int(first), int(last), nodes[0]))
            known += nodes
        ranges.sort()
        self._starts = [first for first, _, _ in ranges]
        self._ranges = [(last, node) for _, last, node in ranges]
        self._asked = list(dict.fromkeys([*known, *self._seeds]))
        self._moved.clear()
        self.stale = False

    def move(self, slot: int, node: Node) -> None:
        """Note a redirection."""
        self._moved[slot] = node

    def failed(self, node: Node) -> None:
        """Note that a node could not do what was asked: somebody else may know why, so it is asked last."""
        self.stale = True
        if node in self._asked:
            self._asked.remove(node)
            self._asked.append(node)

    def node_of(self, slot: int) -> Node | None:
        """The node that serves this slot; None if nobody does."""
        moved = self._moved.get(slot)
        if moved is not None:
            return moved
        index = bisect_right(self._starts, slot) - 1
        if index < 0:
            return None
        last, node = self._ranges[index]
        return node if slot <= last else None

    def any_node(self) -> Node | None:
        """The most promising of the nodes that serve slots."""
        masters = {node for _, node in self._ranges}
        return next((node for node in self._asked if node in masters), None)


def _node(server: Sequence[Any], by: Node) -> Node:
    """A server of a range; without a name of its own it has that of the node that tells of it."""
    host = (server[0] or b"").decode()
    return Node(by.host if host in ("", "?") else host, int(server[1]))
