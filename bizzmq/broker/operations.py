"""Operations of several steps that do not wait: generators that yield requests to Redis and receive the replies.

So the same operation runs over a blocking connection (`ScriptRunner.perform`) and over one of asyncio. What Redis
refuses is raised in the generator, at the request.
"""

from __future__ import annotations

from typing import Any, Generator, NamedTuple, Sequence, Tuple, TypeVar, Union

T = TypeVar("T")
Call = Tuple[Sequence[Any], Sequence[Any]]
"""KEYS and ARGV of one script call."""


class Script(NamedTuple):
    """A call of a script. The reply is the script's."""

    name: str
    call: Call


class Command(NamedTuple):
    """A plain command. The reply is Redis's."""

    parts: Sequence[Any]


class Together(NamedTuple):
    """Read-only commands, run in one transaction where that is allowed. The reply is a list of replies."""

    commands: Sequence[Sequence[Any]]


Request = Union[Script, Command, Together]
Operation = Generator[Request, Any, T]
"""A generator of requests, each of which evaluates to its reply; its return value is the result."""


def command(*parts: Any) -> Command:
    """A plain command."""
    return Command(parts)


def read_time_ms() -> Operation[int]:
    """Redis's clock, milliseconds since the epoch."""
    seconds, micros = yield command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def read_time_s() -> Operation[float]:
    """Redis's clock, seconds since the epoch."""
    seconds, micros = yield command("TIME")
    return int(seconds) + int(micros) / 1e6
