"""Pauses and resumes a queue, or its messages of a task or with a key."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from bizzmq.admin.activity.pauses import KEY, OF_DEAD_LETTERS, QUEUE, TASK, Pause, held_pauses
from bizzmq.admin.purge import check_exists
from bizzmq.broker.operations import Operation, Script, command, read_time_s
from bizzmq.broker.pauses import FIRST_PAGE, pause_call, pause_result, resume_call, resume_result
from bizzmq.broker.queues import read_shards
from bizzmq.broker.replies import pairs
from bizzmq.control.cancel import checked_by, checked_reason
from bizzmq.errors import ConfigurationError
from bizzmq.properties import checked_key, checked_task
from bizzmq.protocol import json_codec
from bizzmq.protocol.keys import QueueKeys
from bizzmq.validation import checks


class PauseName(NamedTuple):
    """A pause as it is stored."""

    k: QueueKeys
    name: str


def checked_name(k: QueueKeys, task: Any, key: Any) -> PauseName:
    """The pause of a queue, a task or a key. Raises ConfigurationError."""
    task = checked_task(task) if task != "" else ""
    key = checked_key(key)
    if task and key:
        raise ConfigurationError("pause either a task or a key, not both")
    if k.is_dead_letter_queue and (task or key):
        raise ConfigurationError("a dead-letter queue is paused as a whole: not by task or key")
    if k.is_dead_letter_queue:
        return PauseName(k, OF_DEAD_LETTERS)
    return PauseName(k, f"{TASK}{task}" if task else f"{KEY}{key}" if key else QUEUE)


def checked_about(by: Any, reason: Any) -> bytes:
    """Who pauses something, and why, as it is stored. Raises ConfigurationError."""
    return json_codec.dumps({"by": checked_by(by), "reason": checked_reason(reason)})


def checked_duration_ms(for_s: Any) -> int:
    """How long a pause holds; 0 for None. Raises ConfigurationError."""
    if for_s is None:
        return 0
    seconds = for_s.total_seconds() if isinstance(for_s, timedelta) else for_s
    return max(1, round(checks.seconds("for_s", seconds, above=True) * 1000))


def pause(paused: PauseName, about: bytes, duration_ms: int) -> Operation[None]:
    """Pause in all shards. A pause of the same name is replaced. Raises QueueNotFoundError.

    The queue itself, by which pauses are listed, is the last one: what is listed holds in all shards.
    """
    yield from check_exists(paused.k)
    for shard in reversed((yield from read_shards(paused.k))):
        reply = yield Script("pause", pause_call(shard, paused.name, about, duration_ms))
        pause_result(reply, shard.queue)


def resume(paused: PauseName) -> Operation[bool]:
    """End a pause in all shards, and return what was put aside. False if there was none. Raises QueueNotFoundError.

    The queue itself is the last one: a pause is listed until it has ended in all shards.
    """
    yield from check_exists(paused.k)
    ended = False
    for shard in reversed((yield from read_shards(paused.k))):
        name, page = paused.name, FIRST_PAGE
        while page:
            reply = yield Script("resume", resume_call(shard, name, page))
            done = resume_result(reply, shard.queue)
            name, page, ended = "", done.following, ended or (bool(name) and done.ended)
    return ended


class Look(NamedTuple):
    """What a look at the pauses of a shard has found.

    Attributes:
        held: the pauses that hold.
        page: where to begin if some are over, or messages are on their way back; "" if not.
    """

    held: list[Pause]
    page: str


def look(k: QueueKeys) -> Operation[Look]:
    """Look at the pauses of a shard. Messages that are aside while nothing is paused count as on their way back."""
    flat = yield command("HGETALL", k.pauses)
    now_s = yield from read_time_s()
    held = held_pauses(k, flat, now_s)
    stored = len(pairs(flat))
    is_over = not stored or len(held) + len(held_pauses(k.dead_letters(), flat, now_s)) < stored
    return Look(held, FIRST_PAGE if is_over else "")


def go_on(k: QueueKeys, page: str) -> Operation[str]:
    """End the pauses of a shard whose time is over, and return a page to the queue. Returns the next page, or ""."""
    reply = yield Script("resume", resume_call(k, "", page))
    return resume_result(reply, k.queue).following
