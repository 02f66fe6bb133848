"""Facts about a server: INFO, CONFIG and missing commands. A server may refuse either command."""

from __future__ import annotations

import logging
from typing import Any, Callable, Iterable, Protocol

from bizzmq.connection.error_mapping import CommandRefusedError
from bizzmq.errors import BrokerRefusesError, BrokerReplyError
from bizzmq.utils.logs import log

NO_EVICTION = "noeviction"
REFUSED = (BrokerRefusesError, BrokerReplyError)
"""Errors of a command that is not permitted, renamed, or unknown to the server."""

_WITHOUT_ARGUMENTS = ("multi", "exec", "time", "role", "asking")


class Executes(Protocol):
    """The part of a connection that this module uses."""

    def execute(self, *args: Any) -> Any: ...


def info(connection: Executes, section: str) -> dict[str, str]:
    """One section of INFO. Raises the errors in REFUSED, and BrokerUnavailableError."""
    text: bytes = connection.execute("INFO", section)
    lines = (line.partition(":") for line in text.decode("utf-8", "backslashreplace").splitlines())
    return {name: value.strip() for name, colon, value in lines if colon and not name.startswith("#")}


def config(connection: Executes, name: str) -> str | None:
    """One setting of the server, None if it is unknown. Raises as `info`."""
    flat = connection.execute("CONFIG", "GET", name)
    return flat[1].decode("utf-8", "backslashreplace") if len(flat) > 1 else None


def missing_commands(
    connection: Executes, names: Iterable[str], before_each: Callable[[], object] = lambda: None
) -> list[str]:
    """The commands among `names` that the server, or a proxy before it, does not have. Changes nothing.

    Each command is sent with too few arguments, or with one argument if it takes none. A server that has the command
    refuses it with another error than one that does not.

    Args:
        before_each: called before each command.

    Raises:
        BrokerUnavailableError: the server is unreachable, or a proxy closes connections that send such commands.
    """
    missing = []
    for name in names:
        before_each()
        try:
            connection.execute(*name.upper().split("|"), *(["-"] if name in _WITHOUT_ARGUMENTS else []))
        except CommandRefusedError as error:
            if error.is_missing:
                missing.append(name)
        except REFUSED:
            continue
    return missing


def warn_of_eviction(connection: Executes, logger: logging.Logger) -> None:
    """Log a warning if this server may evict messages. Logs nothing if it refuses INFO.

    Raises:
        BrokerUnavailableError: the server is unreachable.
    """
    try:
        memory = info(connection, "memory")
    except REFUSED:
        return
    policy = memory.get("maxmemory_policy", NO_EVICTION)
    if policy != NO_EVICTION:
        log(logger, logging.WARNING, "Redis evicts messages when its memory is full, set maxmemory-policy noeviction",
            policy=policy, maxmemory=memory.get("maxmemory_human", memory.get("maxmemory", "?")))  # fmt: skip
