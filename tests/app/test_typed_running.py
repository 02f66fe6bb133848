"""Typed arguments from a publisher through Redis to a task."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, Dict, List, Optional, Set, Tuple

import pytest
from redis import Redis

from bizzmq import App, ArgumentsError, ConfigurationError, QueueOptions
from bizzmq.testing.layout import Keys, command

pytest.importorskip("msgspec")
pydantic = pytest.importorskip("pydantic")

AT_ONCE = QueueOptions(config_dead_letter_queue=True, max_retries=3, retry_backoff_s=0)


class Order(pydantic.BaseModel):
    number: int
    due: Optional[date] = None


@pytest.fixture
def app(url: str) -> Any:
    app = App(url)
    app.queue("default", AT_ONCE)
    yield app
    app.close()


def run(app: App) -> int:
    return app.client.consume_until_empty("default", app.dispatcher(), timeout_s=30)


def test_a_task_gets_the_values_that_were_passed(app: App) -> None:
    seen: List[Any] = []

    @app.task(name="book")
    def book(order: Order, size: Tuple[int, int], tags: Set[str], days: Dict[int, date]) -> None:
        seen.append((order, size, tags, days))

    passed = (Order(number=3, due=date(2026, 1, 2)), (3, 4), {"a", "b"}, {1: date(2026, 2, 3)})
    book.publish(*passed)

    assert run(app) == 1
    assert seen == [passed]


def test_what_would_arrive_changed_is_not_published(app: App, redis: Redis) -> None:
    @app.task(name="book")
    def book(order: Order) -> None: ...

    for call in ({"number": 1}, Order.model_construct(number="1"), None):
        with pytest.raises(ArgumentsError, match="task 'book': 'order'"):
            book.publish(call)
    with pytest.raises(ArgumentsError):
        book.publish_many([(Order(number=1),), ({"number": 1},)])

    assert command(redis, "HLEN", Keys("default").messages) == 0


@pytest.mark.parametrize("forged", [{"number": "1"}, {}, None, {"number": 1, "due": "yesterday"}, [1]])
def test_a_forged_argument_is_dead_lettered_at_once(app: App, redis: Redis, forged: Any) -> None:
    @app.task(name="book")
    def book(order: Order) -> None:
        raise AssertionError(order)

    book.publish(Order(number=1))
    (message_id,) = command(redis, "HKEYS", Keys("default").messages)
    body = '1\t{"task":"book"}\n' + json.dumps({"order": forged})
    command(redis, "HSET", Keys("default").messages, message_id, body)

    assert run(app) == 1
    (envelope,) = command(redis, "HVALS", Keys("default_dlq").messages)
    header = envelope.partition("\n")[0]
    assert '"error_type":"ArgumentsError"' in header
    assert '"delivery":1' in header


def test_the_annotation_of_a_kept_result_is_checked_before_the_first_message(app: App) -> None:
    def report() -> object_without_a_name: ...  # type: ignore[name-defined]  # noqa: F821

    app.task(name="forgets")(report)
    app.dispatcher()
    app.task(name="keeps", result_ttl_s=60)(report)

    with pytest.raises(ConfigurationError, match="task 'keeps': the annotation of the result"):
        app.dispatcher()
