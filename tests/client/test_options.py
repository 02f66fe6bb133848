"""Every option of the client and of a pool is checked: an invalid value is refused with one sentence."""

from __future__ import annotations

import numbers
import pickle
import re
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions, QueueOptions, RetryLater
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.testing.wait import eventually
from bizzmq.workers import WorkerConfig
from tests.client.parameters import Name, kind
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
