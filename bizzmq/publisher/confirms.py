"""Confirmed publishing: wait until stored messages are also on replicas, or on disk.

`WAIT` and `WAITAOF` refer to everything that was written *over the same connection*. So each is sent directly behind a
write, together with a GET that shows whether this server has the publish at all. After a failover between the two it
may not, and then the publish is sent again with the same number.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence, Tuple

from bizzmq.broker.broker import Broker
from bizzmq.connection.error_mapping import CommandRefusedError, SlotMovedError
from bizzmq.errors import BrokerReplyError, BrokerUnavailableError, ConfigurationError
from bizzmq.protocol.keys import QueueKeys

Command = Tuple[Any, ...]

WAIT_MS = 2000
"""How long to wait for the confirmation, milliseconds; shorter than the time limit of a reply."""
_REMEMBERED_S = 120
"""How long Redis remembers the number of a publisher's last request, seconds; the same as in publish.lua."""


class ConfirmLevel(NamedTuple):
    """Where a message must be before it counts as published: on `replicas` replicas, or on the server's disk."""

    replicas: int = 0
    disk: bool = False

    def __str__(self) -> str:
        return "its disk" if self.disk else f"{self.replicas} replica{'s' * (self.replicas != 1)}"


def level_of(confirm: str) -> ConfirmLevel | None:
    """The level that `MessageOptions.confirm` requires; None for ""."""
    if not confirm:
        return None
    kind, _, number = confirm.partition(":")
    return ConfirmLevel(disk=True) if kind == "aof" else ConfirmLevel(replicas=int(number))


def check(broker: Broker, queue: str, level: ConfirmLevel) -> None:
    """Check that the server supports this level, before anything is published.

    Raises:
        ConfigurationError: the server is too old, has no append-only file, or refuses the command.
        BrokerUnavailableError: the queue is moving to another node of the cluster.
    """
    connection = broker.connection.at(broker.keys(queue).meta)
    try:
        for command in check_commands(broker.keys(queue), level):
            connection.execute(*command)
    except (CommandRefusedError, BrokerReplyError) as error:
        raise check_error(error, level) from error


def wait(broker: Broker, queue: str, publisher: str, request: int, level: ConfirmLevel) -> int:
    """Wait for the confirmation of a publish request; returns the number of replicas that have it, or 1 for the disk.

    Raises:
        BrokerUnavailableError: this server does not have the publish, or no longer; send it again.
    """
    key = broker.keys(queue).publisher(publisher)
    connection = broker.connection.at(key)
    try:
        replies = connection.execute_all(*wait_commands(key, level))
    except SlotMovedError as error:
        raise moving(error) from error
    return wait_result(replies, request, level)


def check_commands(k: QueueKeys, level: ConfirmLevel) -> tuple[Command, Command]:
    """The commands of `check`, one after the other."""
    expire = ("EXPIRE", k.publisher("-"), _REMEMBERED_S)  # a key that does not exist
    return expire, ("WAITAOF", 1, 0, 1) if level.disk else ("WAIT", 0, 1)


def check_error(error: Exception, level: ConfirmLevel) -> Exception:
    """The error of `check` for the error of one of its commands."""
    if isinstance(error, CommandRefusedError):
        needs = "'aof' needs Redis 7.2 or newer, or Valkey, and" if level.disk else f"'replicas:{level.replicas}' needs"
        return ConfigurationError(f"confirm={needs} EXPIRE and {'WAITAOF' if level.disk else 'WAIT'}: {error}")
    if isinstance(error, SlotMovedError):
        return moving(error)
    return ConfigurationError(f"confirm='aof' is not possible: is `appendonly yes` set? {error}")


def moving(error: SlotMovedError) -> BrokerUnavailableError:
    """The error to repeat after: the next publish finds the new node."""
    return BrokerUnavailableError(f"the queue is moving to another node of the cluster: {error}")


def wait_commands(key: str, level: ConfirmLevel) -> tuple[Command, Command, Command]:
    """The commands of `wait`, which are sent together."""
    confirmation: Command = ("WAITAOF", 1, 0, WAIT_MS) if level.disk else ("WAIT", level.replicas, WAIT_MS)
    return ("EXPIRE", key, _REMEMBERED_S), ("GET", key), confirmation


def wait_result(replies: Sequence[Any], request: int, level: ConfirmLevel) -> int:
    """The result of `wait` from the replies to its commands. Raises BrokerUnavailableError."""
    _, number, reached = replies
    if int((number or b"0").split()[0]) < request:
        raise BrokerUnavailableError("another server has taken over and does not have the published messages")
    return int(reached[0] if level.disk else reached)
