"""What stands in a worker's journal: which worker, on which server, and what it owes each queue. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping
from urllib.parse import parse_qs

from bizzmq import codec
from bizzmq.errors import DecodeError
from bizzmq.keys import is_name
from bizzmq.message import MAX_DELAY_S, Attempts
from bizzmq.registry import Death

SUFFIX = ".journal"
LIMIT_BYTES = 8 * 1024 * 1024
_VERSION = 1
_WORKER = re.compile(
    r"[A-Za-z0-9.-]{1,40}:[A-Za-z0-9-]{1,40}:[0-9]{1,10}:[A-Za-z0-9]{1,20}/[0-9]{1,6}\.[A-Za-z0-9]{1,20}"
)
_NAME = re.compile(_WORKER.pattern.replace("/", "_") + re.escape(SUFFIX))
_PROBE = re.compile(r"\.probe-[0-9]{1,10}")
_UNFINISHED = ".unfinished"
_ID_LIMIT = 100
_OUTCOMES = ("retry", "dead-letter", "discard")


@dataclass(frozen=True)
class Entry:
    """What a worker could not tell Redis.

    Attributes:
        server: see `server_of`.
        owed: queue -> how its messages there are to be settled, should the worker be dead.
    """

    worker: str
    server: str
    owed: Mapping[str, Death]


def name_of(worker: str) -> str:
    """The name of a worker's journal. No two workers share one, and it names no other directory."""
    return worker.replace("/", "_") + SUFFIX


def unfinished_of(name: str) -> str:
    """What a journal is called until it is complete."""
    return f".{name}{_UNFINISHED}"


def probe_name(pid: int) -> str:
    """The file by which a pool tries at its start whether it can write."""
    return f".probe-{pid}"


def is_journal(name: str) -> bool:
    """Whether a worker's journal may be called that."""
    return _NAME.fullmatch(name) is not None


def is_unfinished(name: str) -> bool:
    """Whether a file of our own that was never finished may be called that."""
    end = len(name) - len(_UNFINISHED)
    return _PROBE.fullmatch(name) is not None or (name == unfinished_of(name[1:end]) and is_journal(name[1:end]))


def is_ours(name: str) -> bool:
    """Whether a file of that name is to be expected in a directory of journals."""
    return is_journal(name) or is_unfinished(name)


def server_of(url: str) -> str:
    """What tells one Redis from another: an address without credentials and without options, but for the database."""
    address, _, query = url.rpartition("@")[2].partition("?")
    database = parse_qs(query).get("db", [""])[0]
    return address.rpartition("://")[2].rstrip("/") + (f"?db={database}" if database else "")


def encode(entry: Entry) -> bytes:
    """The bytes of a journal."""
    owed = {queue: _plain(death) for queue, death in entry.owed.items()}
    return codec.dumps({"journal": _VERSION, "worker": entry.worker, "server": entry.server, "owed": owed})


def decode(data: bytes) -> Entry:
    """Read a journal, in which anything may stand.

    Raises:
        DecodeError: it is none of ours.
    """
    found = codec.loads(data)
    if not isinstance(found, dict) or found.get("journal") != _VERSION:
        raise DecodeError("it is no journal of this version")
    worker, server, owed = found.get("worker"), found.get("server"), found.get("owed")
    if not isinstance(worker, str) or not _WORKER.fullmatch(worker):
        raise DecodeError("it names no worker")
    if not isinstance(server, str) or not isinstance(owed, dict) or not owed:
        raise DecodeError("it says nothing of a server or of messages")
    if not all(is_name(queue) for queue in owed):
        raise DecodeError("it names something that is no queue")
    return Entry(worker, server, {queue: _death(said) for queue, said in owed.items()})


def _plain(death: Death) -> dict[str, Any]:
    return {
        "what": death.what,
        "last_finished": death.last_finished,
        "running": death.running,
        "outcome": death.outcome,
        "counted": death.counted,
        "delay_ms": death.delay_ms,
        "record": codec.loads(death.record),
    }


def _death(said: Any) -> Death:
    if not isinstance(said, dict):
        raise DecodeError("it does not say what is owed")
    finished, running = (_id(said.get(name)) for name in ("last_finished", "running"))
    record = said.get("record")
    if not isinstance(record, dict):
        raise DecodeError("its record of an error is none")
    if said.get("what") == "stopped" and (finished or running):
        return Death("stopped", running, finished)
    if said.get("what") != "failed" or said.get("outcome") not in _OUTCOMES or not running:
        raise DecodeError("it does not say what has become of the message")
    common = {"running": running, "last_finished": finished, "outcome": said["outcome"]}
    if said["outcome"] == "retry":
        return Death(
            "failed", **common, counted=_counted(said.get("counted")), delay_ms=_delay_ms(said.get("delay_ms"))
        )
    return Death("failed", **common, record=_record(record))


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _ID_LIMIT or not _is_utf8(value):
        raise DecodeError("it names something that is no message")
    return value


def _is_utf8(value: str) -> bool:
    """Whether it can be said to Redis at all: JSON can spell half a character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _counted(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return Attempts.decode(text.encode("utf-8", "replace")).encode()


def _delay_ms(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_DELAY_S * 1000:
        raise DecodeError("its delay is no time")
    return value


def _record(value: Mapping[str, Any]) -> bytes:
    try:
        return codec.dumps(value)
    except ValueError as error:
        raise DecodeError("its record of an error is no JSON") from error
