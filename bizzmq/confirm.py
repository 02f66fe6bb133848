"""Confirmed publishing: wait until what Redis has stored is on replicas, too, or on disk.

`WAIT` and `WAITAOF` speak of all that was written *over the same connection*. So each is sent right behind a write, in
one piece, together with a question that tells whether this server has the publish at all: after a failover between
the two it may not, and then the publish is sent again, under its number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bizzmq.broker import Broker
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError, ConfigurationError
from bizzmq.foreign import CommandRefusedError, SlotMovedError

WAIT_MS = 2000
"""How long to wait for the confirmation, milliseconds; less than a reply may take."""
_REMEMBERED_S = 120
"""As publish.lua has it: how long Redis remembers the number of a publisher's last request."""


class Level(NamedTuple):
    """What has to have a message before it counts as published: so many replicas, or the disk of the server itself."""

    replicas: int = 0
    disk: bool = False

    def __str__(self) -> str:
        return "its disk" if self.disk else f"{self.replicas} replica{'s' * (self.replicas != 1)}"


def level_of(confirm: str) -> Level | None:
    """What `MessageOptions.confirm` asks for; None if it asks for nothing."""
    if not confirm:
        return None
    kind, _, number = confirm.partition(":")
    return Level(disk=True) if kind == "aof" else Level(replicas=int(number))


def check(broker: Broker, queue: str, level: Level) -> None:
    """See that the server can confirm this at all, before anything is published.

    Raises:
        ConfigurationError: it cannot: too old, without an append-only file, or it refuses the command.
    """
    probe = ("WAITAOF", 1, 0, 1) if level.disk else ("WAIT", 0, 1)
    connection = broker.connection.at(broker.keys(queue).meta)
    try:
        connection.execute("EXPIRE", broker.keys(queue).publisher("-"), _REMEMBERED_S)  # of nobody
        connection.execute(*probe)
    except CommandRefusedError as error:
        needs = "'aof' needs Redis 7.2 or newer, or Valkey, and" if level.disk else f"'replicas:{level.replicas}' needs"
        raise ConfigurationError(f"confirm={needs} EXPIRE and {probe[0]}: {error}") from error
    except SlotMovedError as error:  # the publish that follows learns where it has gone
        raise BrokerUnavailableError(f"the queue is moving to another node of the cluster: {error}") from error
    except BrokerReplyError as error:
        raise ConfigurationError(f"confirm='aof' is not possible here, is `appendonly yes` set? {error}") from error


def wait(broker: Broker, queue: str, publisher: str, request: int, level: Level) -> int:
    """Wait for the publish that this request was; returns how many have it: replicas, or 1 for the disk.

    Raises:
        BrokerUnavailableError: this server does not have it, or not any more; send the publish again.
    """
    key = broker.keys(queue).publisher(publisher)
    confirmation: tuple[Any, ...] = ("WAITAOF", 1, 0, WAIT_MS) if level.disk else ("WAIT", level.replicas, WAIT_MS)
    connection = broker.connection.at(key)
    try:
        _, number, reached = connection.execute_all(("EXPIRE", key, _REMEMBERED_S), ("GET", key), confirmation)
    except SlotMovedError as error:  # the next publish learns where it has gone
        raise BrokerUnavailableError(f"the queue is moving to another node of the cluster: {error}") from error
    if int(number or 0) < request:
        raise BrokerUnavailableError("another server has taken over, and does not have what was published")
    return int(reached[0] if level.disk else reached)
