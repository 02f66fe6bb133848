"""Requests to pools: kept until the pool's janitor takes them, and answered."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from bizzmq.broker.operations import Call
from bizzmq.broker.replies import as_text, pairs
from bizzmq.broker.script_runner import ScriptRunner
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.pool_request import ANSWER_TTL_MS, REQUEST_TTL_MS

ASK_S = 1.0
"""How often a janitor looks for requests to its pool."""
_MOST = 64


class Taken(NamedTuple):
    """A request that a janitor has taken.

    Attributes:
        left_ms: after this time it is void.
        text: what is asked, as `PoolRequest.encode` writes it.
    """

    id: str
    left_ms: int
    text: bytes


class Requests:
    """Transitions of requests to pools."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._keys, self._run = runner.keys, runner.run
        self._connection = runner.connection

    def ask(self, queue: str, request_id: str, supervisor: str, text: bytes) -> int:
        """Keep a request to a pool. Returns 1 if it is kept, 0 without such a supervisor, -1 if too many wait."""
        return ask_result(self._run("ask", ask_call(self._keys(queue), request_id, supervisor, text)))

    def requests_to(self, queue: str, supervisor: str) -> list[str]:
        """The ids of the requests to a pool, at most 64."""
        stored = pairs(self._connection.execute("HGETALL", self._keys(queue).requests))
        return [as_text(name) for name, value in stored if _supervisor_of(value) == supervisor][:_MOST]

    def take_requests(self, queue: str, supervisor: str, request_ids: Sequence[str]) -> list[Taken]:
        """Take requests to a pool. Those that are taken or void already are left out."""
        call = take_requests_call(self._keys(queue), supervisor, request_ids)
        return take_requests_result(self._run("take_requests", call), request_ids)

    def answer(self, queue: str, request_id: str, answer: bytes) -> None:
        """Answer a request that was taken."""
        key = self._keys(queue).answer(request_id)
        self._connection.execute("SET", key, answer, "PX", f"{ANSWER_TTL_MS}")


def ask_call(k: QueueKeys, request_id: str, supervisor: str, text: bytes) -> Call:
    return [k.requests, k.supervisors, k.answer(request_id)], [request_id, supervisor, REQUEST_TTL_MS, text]


def ask_result(reply: Any) -> int:
    """1 if the request is kept, 0 without such a supervisor, -1 if too many wait."""
    return int(reply)


def take_requests_call(k: QueueKeys, supervisor: str, request_ids: Sequence[str]) -> Call:
    return [k.requests, *map(k.answer, request_ids)], [supervisor, ANSWER_TTL_MS, *request_ids]


def take_requests_result(reply: Any, request_ids: Sequence[str]) -> list[Taken]:
    """Those that were taken."""
    taken = [Taken(name, int(left), text) for name, left, text in zip(request_ids, reply[::2], reply[1::2])]
    return [one for one in taken if one.left_ms > 0]


def _supervisor_of(stored: bytes) -> str:
    parts = as_text(stored).split(" ", 2)
    return parts[1] if len(parts) == 3 else ""
