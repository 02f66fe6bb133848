"""The commands that a server receives, including those inside scripts, by command and kind of key."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import Iterator, Set, Tuple

from redis import Redis

from bizzmq.testing.layout import command
from bizzmq.testing.server import RedisServer

Pair = Tuple[str, str]
_LINE = re.compile(rb"\+[\d.]+ \[\d+ [^\]]+\] (.*)\r\n")
_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_END = "the end of what was watched"
_NO_KEYS = "eval evalsha ping time info multi exec wait scan auth role unsubscribe pubsub|numsub"
_ALL_KEYS = frozenset(("exists", "del"))


@contextmanager
def monitored(server: RedisServer, admin: Redis) -> Iterator[Set[Pair]]:
    """The pairs sent during the block, complete at its end. Names of workers and publishers are left out."""
    pairs: set[Pair] = set()
    with socket.create_connection((server.host, server.port)) as link, link.makefile("rb") as lines:
        link.sendall(b"MONITOR\r\n")
        lines.readline()
        try:
            yield pairs
        finally:
            command(admin, "ECHO", _END)
            while True:
                matched = _LINE.fullmatch(lines.readline())
                assert matched, "MONITOR has another format here"
                words = [word.decode() for word in _WORD.findall(matched[1])]
                if words[-1] == _END:
                    break
                if words[0].lower() == "pubsub":
                    words = ["|".join(words[:2])]
                pairs.update((words[0].lower(), kind) for kind in _kinds(words))


def _kinds(words: list[str]) -> set[str]:
    name = words[0].lower()
    if name in _NO_KEYS.split():
        return {""}
    found = words[1:] if name in _ALL_KEYS else words[1:3] if name == "rpoplpush" else words[1:2]
    return {kind_of(key) for key in found}


def kind_of(key: str) -> str:
    """The kind of a key, as in bizzmq.doctor.roles."""
    kind = re.sub(r"^bizzmq:(\{[^}]*\}:)?", "", key)
    for name, varying in (("publisher", "NONCE"), ("processing", "WORKER"), ("result", "MESSAGE"),
                          ("pool", "POOL"), ("answer", "REQUEST")):  # fmt: skip
        kind = re.sub(f"{name}:.*", f"{name}:{varying}", kind)
    return kind
