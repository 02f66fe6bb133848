"""The commands of the yardsticks: exactly those of our broker, over a raw connection of redis-py."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import redis

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection


class Recorder:
    """Takes the place of a broker's connection and keeps the commands that it would send."""

    def __init__(self, reply: Any) -> None:
        self._reply = reply
        self.sent: list[tuple[Any, ...]] = []

    def execute(self, *command: Any) -> Any:
        return self.execute_plain(command)

    def execute_plain(self, command: tuple[Any, ...]) -> Any:
        self.sent.append(command)
        return self._reply


class Raw:
    """One connection of redis-py without client, pool or retries: sends a command, returns its reply."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = redis.Connection(host=address.hostname or "127.0.0.1", port=address.port or 6379)
        self._connection.connect()

    def call(self, *command: Any) -> Any:
        self._connection.send_command(*command)
        return self._connection.read_response()

    def close(self) -> None:
        self._connection.disconnect()


def claim_command(queue: str, worker: str, want: int) -> tuple[Any, ...]:
    """The EVALSHA of a claim, to which the ids to be acked are appended."""
    recorder = Recorder([0, -1])
    Broker(recorder).claim(queue, worker, want)  # type: ignore[arg-type]  # all that it asks of a connection
    return recorder.sent[0]


def publish_commands(queue: str, publisher: str, ids: list[str], envelope: bytes) -> list[tuple[Any, ...]]:
    """The EVALSHA of a publish for each id."""
    recorder = Recorder(1)
    broker = Broker(recorder)  # type: ignore[arg-type]  # as above
    for request, message_id in enumerate(ids, start=1):
        broker.publish(queue, publisher, request, 0, 0, [message_id, envelope])
    return recorder.sent


def broker_of(url: str) -> Broker:
    return Broker(Connection(url))
