"""The format of a worker's journal: the worker, its server, and how to settle its messages. Does no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Mapping
from urllib.parse import parse_qs

from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.errors import DecodeError
from bizzmq.message import MAX_DELAY_S
from bizzmq.protocol import json_codec
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.keys import is_name
from bizzmq.protocol.results import results_of_stored, results_to_stored

SUFFIX = ".journal"
LIMIT_BYTES = 32 * 1024 * 1024
_VERSION = 1
_WITH_RESULTS = 2
"""A file with results. A pool of an earlier version does not read it: it would ack messages without their results."""
_WORKER = re.compile(
    r"[A-Za-z0-9.-]{1,40}:[A-Za-z0-9-]{1,40}:[0-9]{1,10}:[A-Za-z0-9]{1,20}/[0-9]{1,6}\.[A-Za-z0-9]{1,20}"
)
_NAME = re.compile(_WORKER.pattern.replace("/", "_") + re.escape(SUFFIX))
_PROBE = re.compile(r"\.probe-[0-9]{1,10}")
_UNFINISHED = ".unfinished"
_ID_LIMIT = 100
_OUTCOMES = ("retry", "dead-letter", "discard", "cancel")


@dataclass(frozen=True)
class Entry:
    """The content of one journal: the outcomes that a worker could not store in Redis.

    Attributes:
        server: see `server_of`.
        settlements: queue -> how the worker's messages there have to be settled once the worker is dead.
    """

    worker: str
    server: str
    settlements: Mapping[str, DeadWorker]


def journal_name(worker: str) -> str:
    """The file name of a worker's journal. It is unique to the worker, and contains no path separator."""
    return worker.replace("/", "_") + SUFFIX


def unfinished_name(name: str) -> str:
    """The file name of a journal until it is complete."""
    return f".{name}{_UNFINISHED}"


def probe_name(pid: int) -> str:
    """The name of the file that a pool writes at its start, to find out whether it can."""
    return f".probe-{pid}"


def is_journal(name: str) -> bool:
    """Whether this can be the name of a worker's journal."""
    return _NAME.fullmatch(name) is not None


def is_unfinished(name: str) -> bool:
    """Whether this can be the name of an unfinished journal or of a probe."""
    end = len(name) - len(_UNFINISHED)
    return _PROBE.fullmatch(name) is not None or (name == unfinished_name(name[1:end]) and is_journal(name[1:end]))


def is_expected(name: str) -> bool:
    """Whether a file of this name belongs in a directory of journals."""
    return is_journal(name) or is_unfinished(name)


def server_of(url: str) -> str:
    """The part of a URL that identifies a Redis server: its address and database, without credentials and options."""
    address, _, query = url.rpartition("@")[2].partition("?")
    database = parse_qs(query).get("db", [""])[0]
    return address.rpartition("://")[2].rstrip("/") + (f"?db={database}" if database else "")


def encode(entry: Entry) -> bytes:
    """The bytes of a journal."""
    owed = {queue: _encode_dead_worker(dead) for queue, dead in entry.settlements.items()}
    version = _WITH_RESULTS if any("results" in fields for fields in owed.values()) else _VERSION
    return json_codec.dumps({"journal": version, "worker": entry.worker, "server": entry.server, "owed": owed})


def decode(data: bytes) -> Entry:
    """Read a journal. The bytes are not trusted.

    Raises:
        DecodeError: they are not a valid journal.
    """
    found = json_codec.loads(data)
    if not isinstance(found, dict) or found.get("journal") not in (_VERSION, _WITH_RESULTS):
        raise DecodeError("it is not a journal of this version")
    worker, server, owed = found.get("worker"), found.get("server"), found.get("owed")
    if not isinstance(worker, str) or not _WORKER.fullmatch(worker):
        raise DecodeError("it names no worker")
    if not isinstance(server, str) or not isinstance(owed, dict) or not owed:
        raise DecodeError("it names no server or no messages")
    if not all(is_name(queue) for queue in owed):
        raise DecodeError("it names an invalid queue")
    return Entry(worker, server, {queue: _decode_dead_worker(fields) for queue, fields in owed.items()})


def _encode_dead_worker(dead: DeadWorker) -> dict[str, Any]:
    fields = {
        "what": dead.what.value,
        "last_finished": dead.last_finished,
        "running": dead.running,
        "outcome": dead.outcome,
        "counted": dead.attempts_after,
        "delay_ms": dead.delay_ms,
        "record": json_codec.loads(dead.record),
    }
    return {**fields, "results": results_to_stored(dead.results)} if dead.results else fields


def _decode_dead_worker(fields: Any) -> DeadWorker:
    if not isinstance(fields, dict):
        raise DecodeError("it does not say how to settle a queue")
    dead = _decode_outcome(fields)
    return replace(dead, results=results_of_stored(fields["results"])) if "results" in fields else dead


def _decode_outcome(fields: Mapping[str, Any]) -> DeadWorker:
    finished, running = (_id(fields.get(name)) for name in ("last_finished", "running"))
    record = fields.get("record")
    if not isinstance(record, dict):
        raise DecodeError("its error record is invalid")
    if fields.get("what") == DeathKind.STOPPED.value and (finished or running):
        return DeadWorker(DeathKind.STOPPED, running, finished)
    if fields.get("what") != DeathKind.FAILED.value or fields.get("outcome") not in _OUTCOMES or not running:
        raise DecodeError("it does not say how the message has ended")
    common = {"running": running, "last_finished": finished, "outcome": fields["outcome"]}
    if fields["outcome"] == "retry":
        return DeadWorker(
            DeathKind.FAILED,
            **common,
            attempts_after=_counted(fields.get("counted")),
            delay_ms=_delay_ms(fields.get("delay_ms")),
        )
    return DeadWorker(DeathKind.FAILED, **common, record=_record(record))


def _id(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _ID_LIMIT or not _is_utf8(value):
        raise DecodeError("it names an invalid message")
    return value


def _is_utf8(value: str) -> bool:
    """Whether UTF-8 can encode it: JSON can escape half of a surrogate pair."""
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _counted(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return Attempts.decode(text.encode("utf-8", "replace")).encode()


def _delay_ms(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_DELAY_S * 1000:
        raise DecodeError("its delay is invalid")
    return value


def _record(value: Mapping[str, Any]) -> bytes:
    try:
        return json_codec.dumps(value)
    except ValueError as error:
        raise DecodeError("its error record is not JSON") from error
