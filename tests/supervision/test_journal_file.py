"""What may stand in a journal, and that nothing else is acted on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizzmq.errors import DecodeError
from bizzmq.ids import supervisor_id, worker_id
from bizzmq.registry import Death
from bizzmq.workers.journal_file import Entry, decode, encode, name_of, server_of

WORKER = worker_id(supervisor_id(), 7)
OWED = {
    "q": Death("stopped", last_finished="m1"),
    "q_dlq": Death("stopped", running="m2"),
    "q:3": Death("failed", "m3", "m1", outcome="retry", counted='1 0 0 -5\t{"error":"é"}', delay_ms=100),
    "q:3_dlq": Death("failed", "m4", record='{"error":"\\\\n\\\\té"}'.encode(), outcome="dead-letter"),
    "r": Death("failed", "m5", "m4", outcome="discard"),
}


def test_what_was_written_is_read() -> None:
    entry = Entry(WORKER, "h:1/0", OWED)

    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"journal": 2},
        {"worker": "../../x"},
        {"worker": WORKER + "\n"},
        {"worker": None},
        {"server": None},
        {"owed": []},
        {"owed": {}},
        {"owed": {"no queue": {}}},
        {"owed": {"q": None}},
    ],
)
def test_a_journal_that_is_not_one(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode(json.dumps({**json.loads(encode(Entry(WORKER, "h", OWED))), **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"what": "silent"},
        {"what": "crash"},
        {"what": "stopped", "running": "", "last_finished": ""},
        {"running": ""},
        {"running": 5},
        {"running": "x" * 101},
        {"running": "m\ud800"},
        {"last_finished": "\udcff"},
        {"outcome": "ack"},
        {"counted": "1 0 0"},
        {"counted": "1 0 0 0\t{}\n"},
        {"counted": 1},
        {"delay_ms": -1},
        {"delay_ms": 1e9},
        {"delay_ms": True},
        {"delay_ms": 10**18},
        {"record": "x\ny"},
    ],
)
def test_an_outcome_that_is_none(change: dict[str, Any]) -> None:
    found = json.loads(encode(Entry(WORKER, "h", {"q": OWED["q:3"]})))
    found["owed"]["q"].update(change)

    with pytest.raises(DecodeError):
        decode(json.dumps(found).encode())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_whatever_stands_there_is_refused_and_breaks_nothing(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_a_name_stays_in_its_directory_and_a_server_has_no_credentials() -> None:
    assert "/" not in name_of(WORKER)
    assert server_of("redis://user:secret@h:1/0?ssl=x&password=secret") == "h:1/0"
    assert server_of("unix://:secret@/run/r.sock?db=3") == "/run/r.sock?db=3"
    assert server_of("redis+sentinel://:a@h:1,i:2/s/0") == "h:1,i:2/s/0"


@given(st.text(st.characters(), max_size=20), st.text(max_size=20))
def test_whatever_ids_a_journal_names_can_be_said_to_redis_or_are_refused(running: str, finished: str) -> None:
    entry = Entry(WORKER, "h", {"q": Death("stopped", running, finished)})
    try:
        read = decode(encode(entry))
    except DecodeError:
        return

    assert read == entry
    for message_id in (read.owed["q"].running, read.owed["q"].last_finished):
        message_id.encode()
