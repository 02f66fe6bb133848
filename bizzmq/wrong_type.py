"""Which key it was: Redis says that a key has the wrong type, and does not say which."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bizzmq import keys
from bizzmq.errors import BizzMQError, BrokerReplyError, WrongTypeError

_SCRIPTS = ("EVALSHA", "EVAL")


def named(error: BrokerReplyError, command: Sequence[Any], type_now: Callable[[str], str]) -> BrokerReplyError:
    """If it is about a key's type, an error that says so and, where that is found, names it; else the error itself.

    Args:
        command: what was asked of Redis.
        type_now: asks Redis for the type of a key.
    """
    if "WRONGTYPE" not in str(error):
        return error
    try:
        for key in keys_of(command):
            wanted, found = keys.type_of(key), type_now(key)
            if wanted and found not in (wanted, "none"):
                return _about(key, wanted, found)
    except BizzMQError as refusal:  # TYPE is refused, or Redis is gone by now
        return WrongTypeError(f"{error}; which key it is could not be asked: {refusal}")
    return WrongTypeError(f"{error}; the key is mended by now")


def _about(key: str, wanted: str, found: str) -> WrongTypeError:
    queue = keys.queue_of(key)
    whose = f" of queue {queue!r}" if queue else ""
    return WrongTypeError(
        f"WRONGTYPE: key {key!r}{whose} is a {found}, not a {wanted}; something else has written it, "
        "rename or delete it, then all goes on",
        key,
        queue,
        wanted,
        found,
    )


def keys_of(command: Sequence[Any]) -> list[str]:
    """The keys that a command of ours names."""
    if command[0] in _SCRIPTS:
        found = command[3 : 3 + int(command[2])]
    elif command[0] == "BZPOPMIN":
        found = command[1:-1]
    else:
        found = command[1:2]
    return [key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key) for key in found]
