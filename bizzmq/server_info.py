"""What a server says about itself: INFO and CONFIG, either of which may be refused."""

from __future__ import annotations

import logging
from typing import Any, Callable, Iterable, Protocol

from bizzmq.errors import BrokerRefusesError, BrokerReplyError
from bizzmq.foreign import CommandRefusedError
from bizzmq.logs import log

KEEPS_ALL = "noeviction"
REFUSED = (BrokerRefusesError, BrokerReplyError)
"""Not permitted, renamed, or not known to this server."""

_TAKE_NONE = ("multi", "exec", "time", "role", "asking")


class Executes(Protocol):
    """What is needed of a connection here."""

    def execute(self, *args: Any) -> Any: ...


def info(connection: Executes, section: str) -> dict[str, str]:
    """A section of INFO. Raises one of REFUSED, or BrokerUnavailableError."""
    text: bytes = connection.execute("INFO", section)
    lines = (line.partition(":") for line in text.decode("utf-8", "backslashreplace").splitlines())
    return {name: value.strip() for name, colon, value in lines if colon and not name.startswith("#")}


def config(connection: Executes, name: str) -> str | None:
    """A setting; None if this server does not know it. Raises as `info` does."""
    flat = connection.execute("CONFIG", "GET", name)
    return flat[1].decode("utf-8", "backslashreplace") if len(flat) > 1 else None


def missing_commands(
    connection: Executes, names: Iterable[str], asking: Callable[[], object] = lambda: None
) -> list[str]:
    """Those of some commands that the server, or a proxy before it, does not have. Nothing is changed by asking.

    Each is asked for with too few arguments, or with one where it takes none: that is refused, too, but otherwise.

    Args:
        asking: called before each question.

    Raises:
        BrokerUnavailableError: the server cannot be reached; or a proxy closes connections that ask like this.
    """
    missing = []
    for name in names:
        asking()
        try:
            connection.execute(*name.upper().split("|"), *(["-"] if name in _TAKE_NONE else []))
        except CommandRefusedError as error:
            if error.is_missing:
                missing.append(name)
        except REFUSED:
            continue
    return missing


def warn_of_eviction(connection: Executes, logger: logging.Logger) -> None:
    """Say loudly that this server may throw messages away, if it may; nothing if it does not tell.

    Raises:
        BrokerUnavailableError: it cannot be reached.
    """
    try:
        memory = info(connection, "memory")
    except REFUSED:
        return
    policy = memory.get("maxmemory_policy", KEEPS_ALL)
    if policy != KEEPS_ALL:
        log(logger, logging.WARNING, "Redis evicts messages when its memory is full, set maxmemory-policy noeviction",
            policy=policy, maxmemory=memory.get("maxmemory_human", memory.get("maxmemory", "?")))  # fmt: skip
