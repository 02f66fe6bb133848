"""Redis replies as Python values."""

from __future__ import annotations

from typing import Any, Sequence

from bizzmq.errors import LeaseLostError


def as_text(name: bytes) -> str:
    """A name from Redis as text. Bytes that are not UTF-8 become surrogates, which `as_bytes` turns back."""
    return name.decode("utf-8", "surrogateescape")


def as_bytes(name: str) -> bytes:
    """The bytes of a name from `as_text`."""
    return name.encode("utf-8", "surrogateescape")


def pairs(flat: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Fields and values of a flat HGETALL reply."""
    return list(zip(flat[::2], flat[1::2]))


def check_lease(reply: Any, queue: str, worker: str) -> int:
    """The reply of a script that a worker runs. Raises LeaseLostError if it is -1, the refusal of all scripts."""
    if reply == -1:
        raise LeaseLostError(queue, worker)
    return int(reply)
