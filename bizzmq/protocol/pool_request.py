"""What is asked of a pool through Redis, and its answer, as they are stored."""

from __future__ import annotations

import secrets
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from bizzmq.errors import DecodeError
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body

STACK, PROFILE, RELOAD, QUIET, RESUME, MORE, FEWER = "stack", "profile", "reload", "quiet", "resume", "more", "fewer"
ACTS = (RELOAD, QUIET, RESUME, MORE, FEWER)
"""What a pool is asked to do, besides showing stacks."""
REQUEST_TTL_MS, ANSWER_TTL_MS = 60_000, 300_000
"""After this time a request that no pool has taken is void, and an answer is forgotten."""
MOST_PROFILE_S = 240.0
MOST_ANSWER_BYTES = 64 * 1024
_CUT = "\n... (cut at 64 kB)"


class PoolRequest(NamedTuple):
    """What somebody asks of a pool.

    Attributes:
        what: `stack`, `profile`, or one of `ACTS`.
        by: who asks.
        worker: the worker that is meant; "" for all.
        message, task: which messages are sampled for a profile; "" for all.
        for_s: for how long, seconds as text.
    """

    what: str
    by: str = ""
    worker: str = ""
    message: str = ""
    task: str = ""
    for_s: str = ""

    def encode(self) -> bytes:
        """As it is stored."""
        return json_codec.dumps({name: value for name, value in self._asdict().items() if value})


class PoolAnswer(NamedTuple):
    """What a pool answers.

    Attributes:
        is_done: False if the pool could not do it; then the text says why.
        text: at most 64 kB.
    """

    is_done: bool
    text: str

    def encode(self) -> bytes:
        """As it is stored: a letter, and the text."""
        text = self.text.encode("utf-8", "replace")
        if len(text) > MOST_ANSWER_BYTES:
            text = text[: MOST_ANSWER_BYTES - len(_CUT)].decode("utf-8", "ignore").encode("utf-8") + _CUT.encode()
        return (b"+" if self.is_done else b"-") + text


def request_id() -> str:
    """A new id for a request."""
    return secrets.token_hex(8)


def read_request(stored: bytes) -> PoolRequest:
    """A stored request. Raises DecodeError: it is forged, or a newer release has written it."""
    fields: Mapping[str, Any] = decode_body(stored)
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise DecodeError("not a request to a pool")
    if not {"what"} <= {*fields} <= {*PoolRequest._fields}:
        raise DecodeError("not a request to a pool that this release knows")
    return PoolRequest(**fields)


def seconds_of(text: str) -> float:
    """For how long a profile is made; ten seconds if that is unreadable, five minutes at most."""
    try:
        seconds = float(text)
    except ValueError:
        return 10.0
    return min(max(seconds, 0.0), MOST_PROFILE_S) if seconds == seconds else 10.0  # noqa: PLR0124 - not a NaN


def read_answer(stored: Optional[bytes]) -> Tuple[bool, Optional[PoolAnswer]]:
    """Whether the pool has taken the request, and its answer if it has given one."""
    if not stored:
        return stored is not None, None
    return True, PoolAnswer(stored[:1] == b"+", stored[1:].decode("utf-8", "replace"))
