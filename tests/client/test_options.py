"""Every option of the client and of a pool is checked: an invalid value is refused with one sentence."""

from __future__ import annotations

import enum
import numbers
import pickle
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import (
    BizzMQ,
    ConfigurationError,
    MessageOptions,
    QueueNotFoundError,
    QueueOptions,
    RetryLater,
)
from bizzmq.broker.broker import Broker
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.testing.wait import eventually
from bizzmq.workers import WorkerConfig
from tests.scripts.containers import everything
from tests.support.recording_handler import RecordingHandler


class Int64(int):
    """An integer like numpy's: registered with `numbers`, but not a subclass of int."""


class Foreign:
    """An integer of another library."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __int__(self) -> int:
        return self.value

    def __float__(self) -> float:
        return float(self.value)


numbers.Integral.register(Foreign)


class Span(Foreign):
    """A time span like numpy's: an integer with a unit."""

    dtype = type("dtype", (), {"kind": "m"})


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Name(str, enum.Enum):
    EMAIL = "email"


def kind(value: object) -> str:
    """The id of a test: the repr of an object contains an address, which differs between processes."""
    return type(value).__name__


NO_NUMBERS: list[Any] = ["3", "", b"3", [3], {}, (), None, True, float("nan"), float("inf"), -float("inf"), 10**5000,
                         Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), 1j, print, object(), Unshowable(),
                         datetime.now(), date.today(), Span(3), -1, -(10**5000)]  # fmt: skip  # noqa: DTZ005, DTZ011
FRACTIONS: list[Any] = [1.5, Decimal(1), Decimal("1.5"), Fraction(3), 3.0, timedelta(seconds=1)]
THREES: list[Any] = [3, 3.0, timedelta(seconds=3), Decimal(3), Fraction(3), Int64(3), Foreign(3)]
FLAGS: list[Any] = ["yes", "", 2, -1, None, 1.0, [], b"1"]

MADE: dict[str, Callable[..., Any]] = {
    "queue": QueueOptions, "message": MessageOptions, "pool": lambda **given: WorkerConfig("tasks:handler", **given),
    "lease": LeaseOptions,
}  # fmt: skip
INTEGERS = [
    ("queue", "max_retries"), ("queue", "retry"), ("queue", "shards"), ("message", "retries"), ("pool", "concurrency"),
    ("pool", "max_messages"), ("pool", "prefetch"), ("pool", "max_crashes"), ("pool", "min_concurrency"),
    ("pool", "health_port"),
]  # fmt: skip
TIMES = [
    ("queue", "retry_backoff_s"), ("queue", "retry_backoff_max_s"), ("queue", "timeout_s"), ("message", "delay_s"),
    ("message", "timeout_s"), *(("pool", f"{name}_s") for name in (
        "drain_timeout", "block", "beat", "lease", "scan", "respawn", "respawn_max", "healthy", "timeout",
        "timeout_grace", "cpu_limit", "scale_latency", "scale_idle")), ("lease", "beat_s"), ("lease", "lease_s"),
    ("lease", "scan_s"),
]  # fmt: skip
MAY_BE_NONE = {
    ("message", "retries"), ("queue", "timeout_s"), ("message", "timeout_s"), ("pool", "health_port"),
    ("pool", "timeout_grace_s"),
}  # fmt: skip
SMALL = {
    "lease_s": {"beat_s": 0.5},
    "beat_s": {"lease_s": 99},
    "concurrency": {},
    "min_concurrency": {"concurrency": 9},
}


def refused(what: str, name: str, value: Any) -> str:
    """The error text of an option; checks that it names the option and is one short line."""
    with pytest.raises(ConfigurationError) as raised:
        MADE[what](**{name: value})
    text = str(raised.value)
    assert text.startswith(f"{name} must be ")
    assert len(text) < 320
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("what", "name"), INTEGERS)
def test_a_value_that_is_not_an_integer_is_refused(what: str, name: str) -> None:
    for value in [*NO_NUMBERS, *FRACTIONS]:
        if value is not None or (what, name) not in MAY_BE_NONE:
            refused(what, name, value)
    assert "not '3'" in refused(what, name, "3")
    assert "an integer" in refused(what, name, 1.5)


@pytest.mark.parametrize(("what", "name"), TIMES)
def test_a_value_that_is_not_a_time_is_refused(what: str, name: str) -> None:
    for value in NO_NUMBERS:
        if value is not None or (what, name) not in MAY_BE_NONE:
            refused(what, name, value)
    assert "a number of seconds or a timedelta" in refused(what, name, "1 s")
    refused(what, name, timedelta.max)
    refused(what, name, timedelta(seconds=-1))


@pytest.mark.parametrize(("what", "name"), TIMES)
@pytest.mark.parametrize(
    "value", [3, 3.0, timedelta(seconds=3), Decimal(3), Fraction(3), Int64(3), Foreign(3)], ids=kind
)
def test_times_of_any_kind_are_seconds(what: str, name: str, value: Any) -> None:
    found = getattr(MADE[what](**{name: value}, **SMALL.get(name, {})), name)

    assert (type(found), found) == (float, 3.0)


@pytest.mark.parametrize(("what", "name"), [*INTEGERS, ("message", "priority")])
@pytest.mark.parametrize("value", [3, Int64(3), Foreign(3)], ids=["int", "subclass", "foreign"])
def test_integers_of_other_libraries_are_accepted(what: str, name: str, value: Any) -> None:
    found = getattr(MADE[what](**{name: value}, **SMALL.get(name, {})), name)

    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize("name", ["burst", "reload"])
def test_flags_of_a_pool_must_be_booleans(name: str) -> None:
    for value in FLAGS:
        assert "must be True or False" in refused("pool", name, value)
    assert getattr(WorkerConfig("a:b", **{name: 1}), name) is True


def test_the_dead_letter_queue_option_is_true_or_false() -> None:
    for value in FLAGS:
        refused("queue", "config_dead_letter_queue", value)
    assert QueueOptions(config_dead_letter_queue=1).config_dead_letter_queue is True  # as in the published API


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queues": "q"}, "queues must be a list"), ({"queues": b"q"}, "queues must be a list"),
        ({"queues": {"q": 1}}, "queues must be a list"), ({"queues": None}, "queues must be a list"),
        ({"queues": 3}, "queues must be a list"), ({"queues": ()}, "queues must be a list"),
        ({"queues": ["q", 1]}, "not 1"), ({"queues": [None]}, "not None"),
        ({"queues": ["a b"]}, "bad queue name 'a b'"),
        ({"preload": True}, "auto, on or off"), ({"preload": "yes"}, "auto, on or off, not 'yes'"),
        ({"memory_metric": None}, "rss or pss"), ({"control": 3}, "off, auto or a path"), ({"journal": 3}, "path"),
        ({"health_host": None}, "IP address"), ({"health_port": 65536}, "between 0 and 65535"),
        ({"max_memory_mb": "500"}, "not '500'"), ({"kill_memory_mb": True}, "not True"),
        ({"max_memory_mb": -1}, "not -1"),
        ({"redis_url": b"redis://:canary@h"}, "redis_url must be a text, not bytes"), ({"redis_url": None}, "NoneType"),
        ({"health_token": b"canary"}, "not bytes"), ({"signing_keys": "canary"}, "a list of at least one key"),
        ({"signing_keys": {"canary": 1}}, "a list"), ({"signing_keys": 3}, "a list"), ({"signing_keys": []}, "a list"),
        ({"handler": None}, "callable"), ({"handler": b"tasks:handler"}, "callable"),
    ],
    ids=str,
)  # fmt: skip
def test_a_pools_other_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)) as raised:
        WorkerConfig(**{"handler": "tasks:handler", **options})
    assert "canary" not in str(raised.value)


def test_a_pools_lists_may_be_any_collection_and_are_read_once() -> None:
    config = WorkerConfig("tasks:handler", queues=iter([Name.EMAIL, "q"]), signing_keys=iter([b"k" * 32]))  # type: ignore[arg-type]

    assert config.queues == ("email", "q")
    assert [type(queue) for queue in config.queues] == [str, str]
    assert config.signing_keys == (b"k" * 32,)
    assert WorkerConfig("tasks:handler", signing_keys=None).signing_keys == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", 1.0, True, None, Span(1), 2**53 + 1, -(2**53) - 1, 10**5000], ids=kind)
def test_a_priority_is_an_integer(value: Any) -> None:
    refused("message", "priority", value)


@pytest.mark.parametrize("value", ["replicas", "replicas:0", "AOF", "aof\n", 1, None, True, b"aof", ["aof"]], ids=kind)
def test_a_confirmation_is_one_of_two_kinds(value: Any) -> None:
    refused("message", "confirm", value)


@pytest.mark.parametrize("value", ["x", None, float("nan"), float("inf"), True, [], datetime.now()], ids=kind)  # noqa: DTZ005
def test_an_invalid_retry_delay_of_a_handler_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^delay_s must be "):
        RetryLater(value)


def test_a_handler_may_choose_any_retry_delay() -> None:
    soon = datetime.now(timezone.utc) + timedelta(hours=1)

    assert (RetryLater(7).delay_s, RetryLater(timedelta(minutes=1)).delay_s, RetryLater(-7).delay_s) == (7, 60, -7)
    assert 3590 < RetryLater(soon).delay_s <= 3600
    assert RetryLater(datetime(2020, 1, 1, tzinfo=timezone.utc)).delay_s == 0
    assert str(RetryLater(7)) == "the handler asked for a retry in 7 s"


def test_a_chosen_retry_delay_survives_a_process_pool() -> None:
    class Custom(RetryLater):
        def __init__(self) -> None:
            super().__init__(30, "busy")

    for error in (RetryLater(30, "busy"), RetryLater(30)):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.delay_s, str(again)) == (RetryLater, 30, str(error))
    kind, arguments = Custom().__reduce__()[:2]
    assert (kind(*arguments).delay_s, str(kind(*arguments))) == (30, "busy")


def test_a_handler_with_an_invalid_retry_delay_is_retried_like_any_failure(mq: BizzMQ, queue: str) -> None:
    def handler(body: Any, _context: Any) -> None:
        raise RetryLater(body)

    mq.publish_message_to_queue("q", "soon")
    mq.consume_message_from_queue("q", RecordingHandler(handler))

    eventually(lambda: mq.stats("q").dead_lettered == 1)
    assert mq.stats("q").retried == 2


def test_a_delay_may_be_a_timedelta_or_a_datetime_by_the_clock_of_redis(mq: BizzMQ, redis: Redis, queue: str) -> None:
    seconds, micros = redis.time()
    at = datetime.fromtimestamp(seconds, timezone(timedelta(hours=-5))) + timedelta(hours=1, microseconds=micros)
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)

    until = mq.publish_message_to_queue("q", 1, MessageOptions(delay_s=at))
    ids = mq.publish_messages_to_queue("q", range(3), MessageOptions(delay_s=at, priority=3))
    after = mq.publish_message_to_queue("q", 2, MessageOptions(delay_s=timedelta(hours=2)))
    now = mq.publish_message_to_queue("q", 3, MessageOptions(delay_s=past))

    due_ms = dict(redis.zrange("bizzmq:{q}:delayed", 0, -1, withscores=True))
    assert set(due_ms) == {until, *ids, after}
    for message_id in (until, *ids):
        assert abs(due_ms[message_id] - at.timestamp() * 1000) < 1000
    assert abs(due_ms[after] - (seconds + 7200) * 1000) < 60_000
    assert redis.lrange("bizzmq:{q}:waiting", 0, -1) == [now]


def test_options_can_be_reused_and_are_equal_by_value() -> None:
    assert MessageOptions(delay_s=timedelta(seconds=5), timeout_s=3) == MessageOptions(delay_s=5.0, timeout_s=3.0)
    assert QueueOptions(True, 3, timeout_s=timedelta(minutes=1)) == QueueOptions(1, 3, timeout_s=60)
    assert len({MessageOptions(), MessageOptions(delay_s=0)}) == 1
    with pytest.raises(AttributeError):
        MessageOptions().priority = 3  # type: ignore[misc]
    at = datetime.now(timezone.utc) + timedelta(hours=1)
    assert MessageOptions(delay_s=at).delay_ms(round((at.timestamp() - 5) * 1e6)) == 5000
    assert pickle.loads(pickle.dumps(MessageOptions(delay_s=at, retries=2))) == MessageOptions(delay_s=at, retries=2)


class NotATime(datetime):
    """A value like pandas' NaT: a datetime that is unequal to itself and has no time zone."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, _other: object) -> bool:
        return False

    def utcoffset(self) -> Any:
        raise ValueError("NaT does not support utcoffset")


NAT = NotATime(2026, 1, 1)


@pytest.mark.parametrize(
    "at",
    [NAT, datetime.now(), datetime(9999, 12, 31), datetime.max.replace(tzinfo=timezone.utc), date.today()],  # noqa: DTZ001, DTZ005, DTZ011
    ids=["NaT", "naive", "naive and far", "far", "a day"],
)
def test_an_invalid_datetime_is_refused(at: Any) -> None:
    text = refused("message", "delay_s", at)
    assert "time zone" in text or "100 years" in text


OTHER_OPTIONS: list[Any] = [{}, {"priority": 1}, (), [], "", 0, False, 1, "aof", object(), MessageOptions, print]


@pytest.mark.parametrize("options", [*OTHER_OPTIONS, QueueOptions()], ids=kind)
def test_only_message_options_are_accepted_for_a_message(mq: BizzMQ, queue: str, options: Any) -> None:
    for publish in (mq.publish_message_to_queue, mq.publish_messages_to_queue):
        with pytest.raises(ConfigurationError, match=r"^options must be MessageOptions\(\.\.\.\) or None, not "):
            publish("q", [1], options)
    assert mq.stats("q").published == 0


@pytest.mark.parametrize("options", [*OTHER_OPTIONS, MessageOptions()], ids=kind)
def test_only_queue_options_are_accepted_for_a_queue(mq: BizzMQ, redis: Redis, options: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^options must be QueueOptions\(\.\.\.\) or None, not "):
        mq.create_queue("fresh", options)
    assert everything(redis) == {}


@pytest.mark.parametrize(
    "messages", ["abc", b"abc", bytearray(b"abc"), memoryview(b"abc"), {"n": 1}, None, 3, 1.5, True, object()], ids=kind
)
def test_a_string_or_mapping_is_not_accepted_as_a_list_of_messages(mq: BizzMQ, queue: str, messages: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^messages must be a list or another iterable of messages, not "):
        mq.publish_messages_to_queue("q", messages)
    assert mq.stats("q").published == 0


def test_any_other_iterable_of_messages_is_accepted(mq: BizzMQ, queue: str) -> None:
    class Old:
        def __iter__(self) -> Iterator[int]:
            return iter([1])

    for messages in ([1], (1,), {1}, iter([1]), (n for n in [1]), range(1), {1: 2}.values(), Old()):
        assert len(mq.publish_messages_to_queue("q", messages)) == 1
    assert mq.publish_messages_to_queue("q", []) == []


def test_a_generator_that_raises_publishes_nothing_and_keeps_the_client_usable(mq: BizzMQ, queue: str) -> None:
    class OwnError(Exception):
        pass

    def messages() -> Iterator[int]:
        yield from range(3000)
        mq.publish_message_to_queue("q", "by itself")
        raise OwnError

    with pytest.raises(OwnError):
        mq.publish_messages_to_queue("q", messages())

    assert mq.stats("q").published == 1
    assert len(mq.publish_messages_to_queue("q", range(3))) == 3


USES: dict[str, Callable[[BizzMQ, Any], Any]] = {
    "create": lambda mq, name: mq.create_queue(name), "stats": lambda mq, name: mq.stats(name),
    "publish": lambda mq, name: mq.publish_message_to_queue(name, "q"),
    "publish many": lambda mq, name: mq.publish_messages_to_queue(name, ["q"]),
    "consume": lambda mq, name: mq.consume_message_from_queue(name, print),
}  # fmt: skip


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", [{"to": "ada"}, ["a"], b"q", None, 3, print, {1}, QueueOptions()], ids=kind)
def test_a_queues_name_comes_first(mq: BizzMQ, redis: Redis, use: str, name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^queue_name must be a text, the name of a queue, and goes before"):
        USES[use](mq, name)
    assert everything(redis) == {}


@pytest.mark.parametrize("use", USES)
def test_a_name_may_be_an_enum_member(mq: BizzMQ, redis: Redis, use: str) -> None:
    mq.create_queue("email")

    USES[use](mq, Name.EMAIL)

    assert redis.smembers("bizzmq:queues") == {"email"}
    assert mq.stats("email").published == (1 if "publish" in use else 0)


@pytest.mark.parametrize("handler", [None, "tasks:handler", 3, {}, lambda: None], ids=kind)
def test_a_handler_must_accept_a_message(mq: BizzMQ, queue: str, handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="handler"):
        mq.consume_message_from_queue("q", handler)


def test_swapped_handler_and_queue_are_refused(mq: BizzMQ, queue: str) -> None:
    with pytest.raises(ConfigurationError, match="goes before the message or the handler"):
        mq.consume_message_from_queue(print, "q")  # type: ignore[arg-type]
    with pytest.raises(QueueNotFoundError):
        mq.publish_message_to_queue("a-body", "q")


@pytest.mark.parametrize("url", [None, b"redis://:canary@h", 6379, ["redis://:canary@h"], {}, True], ids=range(6))
def test_an_address_must_be_a_string(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^redis_url must be a text, not ") as raised:
        BizzMQ(url)
    assert "canary" not in str(raised.value)


def test_the_connection_limit_must_be_an_integer(url: str) -> None:
    for value in (0, -1, 1.5, "3", True, None):
        with pytest.raises(ConfigurationError, match=r"^max_connections must be "):
            BizzMQ(url, max_connections=value)  # type: ignore[arg-type]


def test_an_address_may_be_an_object_of_a_library(url: str) -> None:
    class Dsn:
        def __str__(self) -> str:
            return url

    with BizzMQ(Dsn()) as mq:  # type: ignore[arg-type]
        assert mq.create_queue("q")


def test_data_stored_by_an_earlier_release_is_read_as_before(broker: Broker, redis: Redis) -> None:
    message = decode_envelope("id", "q", b'1\t{"retries":9223372036854775807,"timeout_s":5}\n1')

    assert (message.retries, message.timeout_s, message.priority) == (2**63 - 1, 5.0, 0)
    assert QueueOptions(max_retries=2**63 - 1).max_retries == 2**63 - 1


@pytest.mark.parametrize("limit_s", [5e-324, 1e-320, 1e-310, 2.3e-308, 1e-9])
def test_the_smallest_accepted_time_limit_works(mq: BizzMQ, limit_s: float) -> None:
    assert mq.create_queue("tiny", QueueOptions(True, 0, timeout_s=limit_s))
    mq.publish_message_to_queue("tiny", 1)

    assert QueueOptions.from_meta(QueueOptions(timeout_s=limit_s).to_meta()).timeout_s == limit_s
    seen: list[Any] = []
    stop = mq.consume_message_from_queue("tiny", seen.append)
    eventually(lambda: mq.stats("tiny").acked == 1)
    stop()
