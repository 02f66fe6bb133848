"""The format of a journal: valid contents are read, everything else is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.errors import DecodeError
from bizzmq.protocol.ids import supervisor_id, worker_id
from bizzmq.protocol.results import KeptResult, success_text
from bizzmq.workers.journal.file_format import Entry, decode, encode, journal_name, server_of

WORKER = worker_id(supervisor_id(), 7)
PENDING = {
    "q": DeadWorker(DeathKind.STOPPED, last_finished="m1"),
    "q_dlq": DeadWorker(DeathKind.STOPPED, running="m2"),
    "q:3": DeadWorker(
        DeathKind.FAILED, "m3", "m1", outcome="retry", attempts_after='1 0 0 -5\t{"error":"é"}', delay_ms=100
    ),
    "q:3_dlq": DeadWorker(DeathKind.FAILED, "m4", record='{"error":"\\\\n\\\\té"}'.encode(), outcome="dead-letter"),
    "r": DeadWorker(DeathKind.FAILED, "m5", "m4", outcome="discard"),
}


def test_a_written_journal_is_read() -> None:
    entry = Entry(WORKER, "h:1/0", PENDING)

    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"journal": 3},
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
def test_an_invalid_journal_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        decode(json.dumps({**json.loads(encode(Entry(WORKER, "h", PENDING))), **change}).encode())


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
def test_an_invalid_outcome_is_refused(change: dict[str, Any]) -> None:
    found = json.loads(encode(Entry(WORKER, "h", {"q": PENDING["q:3"]})))
    found["owed"]["q"].update(change)

    with pytest.raises(DecodeError):
        decode(json.dumps(found).encode())


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_any_other_content_is_refused_and_breaks_nothing(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode(data)


def test_a_name_stays_in_its_directory_and_a_server_has_no_credentials() -> None:
    assert "/" not in journal_name(WORKER)
    assert server_of("redis://user:secret@h:1/0?ssl=x&password=secret") == "h:1/0"
    assert server_of("unix://:secret@/run/r.sock?db=3") == "/run/r.sock?db=3"
    assert server_of("redis+sentinel://:a@h:1,i:2/s/0") == "h:1,i:2/s/0"


@given(st.text(st.characters(), max_size=20), st.text(max_size=20))
def test_ids_in_a_journal_can_be_sent_to_redis_or_are_refused(running: str, finished: str) -> None:
    entry = Entry(WORKER, "h", {"q": DeadWorker(DeathKind.STOPPED, running, finished)})
    try:
        read = decode(encode(entry))
    except DecodeError:
        return

    assert read == entry
    for message_id in (read.settlements["q"].running, read.settlements["q"].last_finished):
        message_id.encode()


RESULTS = {"m" * 20: KeptResult(b"60000", success_text('{"ü":1}'.encode(), 2, 1000, 2000))}


def test_results_are_read_as_they_were_written() -> None:
    dead = DeadWorker(DeathKind.STOPPED, "", "m" * 20, results=RESULTS)

    written = encode(Entry(WORKER, "localhost:6379", {"q": dead}))

    assert decode(written).settlements["q"].results == RESULTS


def test_an_earlier_version_reads_no_file_with_results_and_every_file_without() -> None:
    """It would ack the messages without their results."""
    with_results = DeadWorker(DeathKind.STOPPED, "", "m" * 20, results=RESULTS)
    without = DeadWorker(DeathKind.STOPPED, "", "m" * 20)

    versions = [
        json.loads(encode(Entry(WORKER, "localhost:6379", settlements)))["journal"]
        for settlements in ({"q": without}, {"q": with_results}, {"q": without, "r": with_results})
    ]

    assert versions == [1, 2, 2]


@pytest.mark.parametrize(
    "results",
    [
        None, [], "x", {"m": None}, {"m": []}, {"m": [0, "1"]}, {"m": [1]}, {"m": [1, 1]}, {"m": [True, "1"]},
        {"m": [-1, "1"]}, {"m": [1.5, "1"]}, {"m": [2**54, "1"]}, {"m": [1, "1", 1, 1, 1]}, {"m": [1, "\ud800"]},
        {"ü": [1, "1"]}, {"m": [1, "x" * 1024 * 1025]},
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_forged_results_are_refused(results: Any) -> None:
    dead = DeadWorker(DeathKind.STOPPED, "", "m" * 20)
    found = json.loads(encode(Entry(WORKER, "localhost:6379", {"q": dead})))
    found["owed"]["q"]["results"] = results

    with pytest.raises(DecodeError):
        decode(json.dumps(found).encode())
