"""Reading any bytes in Redis gives a value or one of our errors, and never ends a loop."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Callable, Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis import Redis

from bizzmq import BizzMQError, MessageOptions, QueueOptions
from bizzmq.admin import dead_letters, find, listing, show
from bizzmq.admin import stats as queue_stats
from bizzmq.admin.stored_message import STATES
from bizzmq.audit.audit import audit
from bizzmq.audit.repair import repair
from bizzmq.broker.broker import Broker
from bizzmq.broker.replies import as_text
from bizzmq.connection.base import Connection
from bizzmq.consumer.lease import Lease, LeaseOptions
from bizzmq.dead_letters.filters import LetterFilter
from bizzmq.dead_letters.groups import Grouping
from bizzmq.errors import DecodeError
from bizzmq.message import Message
from bizzmq.protocol.attempts import Attempts
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.protocol.ids import published_us
from bizzmq.protocol.keys import INDEX
from bizzmq.protocol.sealing import Sealer
from bizzmq.testing.layout import Keys
from tests.support.examples import examples

# All examples of a test share one server; each example empties it first.
on_a_server = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUICK = LeaseOptions(beat_s=1.0, lease_s=10.0, scan_s=0.0)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
option_names = st.sampled_from(["priority", "retries", "timeout_s", "sig", "x"])
parts = st.one_of(st.binary(max_size=30), st.builds(lambda value: json.dumps(value).encode(), json_values))
headers = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda some: b"\t".join([b"1", *some]), st.lists(parts, max_size=3)),
    st.builds(
        lambda options: b"1\t" + json.dumps(options).encode(), st.dictionaries(option_names, json_values, max_size=3)
    ),
)
envelopes = st.one_of(st.binary(max_size=200), st.builds(lambda head, body: head + b"\n" + body, headers, parts))
names = st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")))
entries = st.dictionaries(names, names, max_size=5)


@settings(max_examples=examples(500), deadline=None)
@given(envelopes)
def test_an_envelope_is_a_message_or_undecodable(envelope: bytes) -> None:
    for decode in (decode_envelope, Sealer([b"k" * 32], 0, {"k": b"k" * 32}).decode):
        with contextlib.suppress(DecodeError):
            message = decode("id", "q", envelope)
            assert isinstance(message, Message)
            assert message.error is None or isinstance(message.error, dict)
            MessageOptions(message.priority, message.retries, timeout_s=message.timeout_s)


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(st.none(), st.binary(max_size=100), st.from_regex(rb"\d+ \d+ \d+ -?\d+(\t.*)?", fullmatch=True)))
def test_attempts_are_counts_or_undecodable(stored: bytes | None) -> None:
    with contextlib.suppress(DecodeError):
        attempts = Attempts.decode(stored)
        assert attempts.delivery >= 1
        assert stored is None or attempts.encode().encode() == stored
        record = attempts.last_crash_record()
        assert record is None or isinstance(record, dict)


@settings(deadline=None)
@given(st.text(max_size=30))
@example("-1")
@example("0x0_000000000")
@example(" 000000000001")
def test_an_id_has_a_publish_time_or_is_invalid(text: str) -> None:
    with contextlib.suppress(DecodeError):
        assert published_us(text) >= 0


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(QueueOptions().to_meta())),
        st.one_of(st.text(max_size=10), st.integers().map(str), st.floats().map(repr)),
    )
)
def test_options_of_a_queue_are_valid_or_undecodable(meta: dict[str, str]) -> None:
    with contextlib.suppress(BizzMQError):
        assert isinstance(QueueOptions.from_meta(meta), QueueOptions)


@pytest.fixture
def broker(url: str) -> Iterator[Broker]:
    made = Broker(Connection(url))
    yield made
    made.connection.drop()


def forge(redis: Redis, key: str, fields: dict[bytes, bytes]) -> None:
    """Create a queue `q` with one message, and a forged entry in one of its hashes."""
    redis.flushall()
    Broker(Connection(_url_of(redis))).create("q", QueueOptions(config_dead_letter_queue=True))
    redis.hset(Keys("q").messages, "stored", "1\n1")
    redis.lpush(Keys("q").waiting, "stored")
    if fields:
        redis.hset(key, mapping=fields)  # type: ignore[arg-type]  # bytes are good names, too


def _url_of(redis: Redis) -> str:
    arguments = redis.connection_pool.connection_kwargs
    return f"redis://{arguments['host']}:{arguments['port']}/0"


def every_look(broker: Broker) -> dict[str, Callable[[], Any]]:
    """All reads of a queue by clients, workers and operators."""
    return {
        "stats": lambda: queue_stats.stats(broker, "q"),
        "options": lambda: broker.options("q"),
        "names": lambda: queue_stats.queue_names(broker),
        "letters": lambda: dead_letters.dead_letters(broker, "q", 0, 10),
        "groups": lambda: broker.perform(Grouping(broker.keys("q"), LetterFilter()).read_page()),
        "messages": lambda: [broker.perform(listing.read_page(broker.keys("q"), state, 10, None)) for state in STATES],
        "find": lambda: broker.perform(find.find_message(broker.keys("q"), b"x")),
        "show": lambda: show.show(broker, "q"),
        "supervisors": lambda: broker.supervisors("q"),
        "workers": lambda: broker.workers("q"),
        "audit": lambda: audit(broker, "q", 0.0),
        "repair": lambda: repair(broker, "q", 0.0),
    }


@on_a_server
@given(key=st.sampled_from(["supervisors", "workers", "attempts", "stats", "meta", "messages"]), fields=entries)
def test_forged_entries_are_read_or_refused_with_one_of_our_errors(
    redis: Redis, broker: Broker, key: str, fields: dict[bytes, bytes]
) -> None:
    forge(redis, getattr(Keys("q"), key), fields)

    for look in every_look(broker).values():
        with contextlib.suppress(BizzMQError):
            look()


def watch_for_longer_than_a_lease(broker: Broker, worker: str = "", **options: Any) -> None:
    """Tick as the supervisor `own:1`, with a clock that advances two seconds with each tick."""
    now_s = [0.0]
    lease = Lease(broker, "own:1", ["q"], QUICK, now_s=lambda: now_s[0], **options)
    lease.register(worker)
    for _ in range(10):
        now_s[0] += 2.0
        lease.tick()


@on_a_server
@given(supervisors=entries, workers=entries)
def test_forged_registrations_stop_no_supervisor(
    redis: Redis, broker: Broker, supervisors: dict[bytes, bytes], workers: dict[bytes, bytes]
) -> None:
    forge(redis, Keys("q").supervisors, supervisors)
    if workers:
        redis.hset(Keys("q").workers, mapping=workers)  # type: ignore[arg-type]  # as above

    watch_for_longer_than_a_lease(broker, "w", living_workers=lambda: {"w"})

    assert broker.workers("q") == {"w": "own:1"}
    assert set(broker.supervisors("q")) <= {"own:1", *(as_text(n) for n, counter in supervisors.items() if not counter)}


@on_a_server
@given(
    name=names.filter(bool), holds=st.booleans()
)  # the key with the empty name is the one that scripts delete to be allowed to write
def test_messages_of_a_forged_worker_are_requeued(redis: Redis, broker: Broker, name: bytes, holds: bool) -> None:
    forge(redis, Keys("q").workers, {name: b"nobody"})
    if holds:
        redis.delete(Keys("q").waiting)
        redis.lpush(Keys("q").processing("").encode() + name, "stored")

    watch_for_longer_than_a_lease(broker)

    assert redis.lrange(Keys("q").waiting, 0, -1) == ["stored"]
    assert broker.workers("q") == {}


@on_a_server
@given(members=st.lists(names, min_size=1, max_size=4))
def test_a_forged_index_hides_no_queue(redis: Redis, broker: Broker, members: list[bytes]) -> None:
    forge(redis, Keys("q").stats, {})
    redis.sadd(INDEX, *members)

    assert {"q", "q_dlq"} <= set(queue_stats.queue_names(broker))
