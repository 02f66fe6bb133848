"""Arguments of the client that are no options: messages, queues, handlers, addresses."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest
from redis import Redis

from bizzmq import BizzMQ, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.protocol.envelope import decode_envelope
from bizzmq.testing.wait import eventually
from tests.client.parameters import Name, kind
from tests.scripts.containers import everything

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
