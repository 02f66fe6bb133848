"""The slots of a cluster: the slot of a key, and the node that serves a slot."""

from __future__ import annotations

import binascii
from bisect import bisect_right
from functools import lru_cache
from typing import Any, Sequence

from bizzmq.connection.group_url import Node

SLOTS = 16384
_SCRIPTS = ("EVALSHA", "EVAL")
_KEYLESS = ("PING", "TIME", "INFO", "CONFIG", "ACL", "CLIENT", "CLUSTER", "SCRIPT", "ROLE", "LATENCY", "SLOWLOG")


@lru_cache(maxsize=4096)
def slot_of(key: str | bytes) -> int:
    """The slot of a key: that of the text in its first braces, if there is any, else of the whole key."""
    name = key.encode("utf-8") if isinstance(key, str) else key
    begin = name.find(b"{")
    end = name.find(b"}", begin + 1) if begin >= 0 else -1
    tag = name[begin + 1 : end] if end > begin + 1 else name
    return binascii.crc_hqx(tag, 0) % SLOTS


def key_of(args: Sequence[Any]) -> str | bytes | None:
    """The first key of a command; None if the command has none, and any node can execute it."""
    name = args[0]
    if name in _SCRIPTS:
        return args[3] if int(args[2]) else None
    return None if name in _KEYLESS or len(args) < 2 else args[1]


class SlotMap:
    """The slots according to the last reply to CLUSTER SLOTS, and to the redirections since then.

    Args:
        seeds: the nodes in the URL. They stay candidates, in case all nodes that are known later are gone.

    Attributes:
        stale: whether the map must be learnt again before it is used.
    """

    def __init__(self, seeds: Sequence[Node]) -> None:
        self._seeds = tuple(seeds)
        self._asked: list[Node] = list(seeds)
        self._starts: list[int] = []
        self._ranges: list[tuple[int, Node]] = []  # last slot and master of the range that begins at _starts[i]
        self._moved: dict[int, Node] = {}
        self.stale = True

    def candidates(self) -> list[Node]:
        """The nodes to ask for the slots, the most promising first."""
        return list(self._asked)

    def learn(self, ranges_reply: Sequence[Any], by: Node) -> None:
        """Replace the map by a node's reply to CLUSTER SLOTS."""
        ranges: list[tuple[int, int, Node]] = []
        known = [by]
        for first, last, *servers in ranges_reply:
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
        """Note that a command to a node failed: another node may know why, so this one is asked last."""
        self.stale = True
        if node in self._asked:
            self._asked.remove(node)
            self._asked.append(node)

    def node_of(self, slot: int) -> Node | None:
        """The node that serves this slot; None if no node does."""
        moved = self._moved.get(slot)
        if moved is not None:
            return moved
        index = bisect_right(self._starts, slot) - 1
        if index < 0:
            return None
        last, node = self._ranges[index]
        return node if slot <= last else None

    def any_node(self) -> Node | None:
        """The most promising node that serves slots."""
        masters = {node for _, node in self._ranges}
        return next((node for node in self._asked if node in masters), None)


def _node(server: Sequence[Any], by: Node) -> Node:
    """A server of a range. Without a host it is on the host of the node that replied."""
    host = (server[0] or b"").decode()
    return Node(by.host if host in ("", "?") else host, int(server[1]))
