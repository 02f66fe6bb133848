"""Running tasks in an in-process consumer: arguments, versions, failure policies."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Callable, Dict, List

import pytest
from redis import Redis

from bizzmq import App, Context, MessageOptions, QueueOptions, Reject, RetryLater
from bizzmq.failure_policy import FailurePolicy
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.wait import eventually

AT_ONCE = QueueOptions(config_dead_letter_queue=True, max_retries=3, retry_backoff_s=0)


class Calls:
    """The calls of a task that notes them, and fails as told."""

    def __init__(self, *errors: BaseException) -> None:
        self.seen: List[Any] = []
        self._errors = list(errors)

    def __call__(self, *seen: Any) -> None:
        self.seen.append(seen)
        if self._errors:
            raise self._errors.pop(0)


@pytest.fixture
def app(url: str) -> Any:
    app = App(url)
    app.queue("default", AT_ONCE)
    yield app
    app.close()


def run(app: App, queue: str = "default") -> int:
    return app.client.consume_until_empty(queue, app, timeout_s=30)


def dead_letters(redis: Redis, queue: str = "default") -> List[str]:
    return [envelope.partition("\n")[0] for envelope in command(redis, "HVALS", Keys(f"{queue}_dlq").messages)]


def test_a_task_gets_its_arguments(app: App) -> None:
    calls = Calls()

    def task(path: str, width: int = 200, *, upright: bool = False) -> None:
        calls(path, width, upright)

    declared = app.task(name="task")(task)
    declared.publish("a")
    declared.publish("b", 3)
    declared.publish(upright=True, path="c")
    assert run(app) == 3
    assert calls.seen == [("a", 200, False), ("b", 3, False), ("c", 200, True)]


def test_a_task_gets_its_context_and_may_be_async(app: App) -> None:
    calls = Calls()

    async def task(context: Context, path: str) -> None:
        await asyncio.sleep(0)
        calls(context.task, context.headers, context.key, context.delivery, context.queue, path)

    app.task(name="task")(task).using(headers={"tenant": "7"}, key="acme").publish("a")
    assert run(app) == 1
    assert calls.seen == [("task", {"tenant": "7"}, "acme", 1, "default", "a")]


def test_a_plain_message_has_no_task_in_its_context(app: App) -> None:
    calls = Calls()
    app.client.create_queue("plain")
    app.client.publish_message_to_queue("plain", {"n": 1}, MessageOptions(headers={"a": "b"}))
    app.client.publish_message_to_queue("plain", {"n": 2})

    def handler(body: Any, context: Context) -> None:
        calls(body["n"], context.task, context.headers, context.key)

    app.client.consume_until_empty("plain", handler, timeout_s=30)
    assert calls.seen == [(1, "", {"a": "b"}, ""), (2, "", {}, "")]


def test_a_message_finds_its_task_under_an_alias(app: App) -> None:
    calls = Calls()
    App(app.redis_url).task(name="old")(lambda_free(calls)).publish("a")
    app.task(name="new", aliases=["old"])(lambda_free(calls))
    assert run(app) == 1
    assert calls.seen == [("a",)]


def lambda_free(calls: Calls) -> Callable[[str], None]:
    def task(path: str) -> None:
        calls(path)

    return task


@pytest.mark.parametrize("discards", [False, True])
@pytest.mark.parametrize("body", [{"size": 1}, {}, [1], None, {"path": "a", "more": 1}, "a", 3])
def test_arguments_that_do_not_fit_are_dead_lettered_at_once(app: App, redis: Redis, body: Any, discards: bool) -> None:
    calls = Calls()
    queue = app.queue("strict", QueueOptions(config_dead_letter_queue=not discards, max_retries=5))
    app.task(name="task", queue=queue)(lambda_free(calls)).publish("b")
    (message_id,) = command(redis, "HKEYS", Keys(queue).messages)
    forged = '1\t{"task":"task"}\n' + json.dumps(body)
    command(redis, "HSET", Keys(queue).messages, message_id, forged)
    assert run(app, queue) == 1
    assert calls.seen == []
    (header,) = dead_letters(redis, queue)
    assert '"error_type":"ArgumentsError"' in header
    assert '"delivery":1' in header


def test_a_plain_message_on_a_queue_of_an_app_is_dead_lettered(app: App, redis: Redis) -> None:
    app.task(name="task")(lambda_free(Calls()))
    app.client.create_queue("default", AT_ONCE)
    app.client.publish_message_to_queue("default", {"path": "a"})
    run(app)
    (header,) = dead_letters(redis)
    assert "the message names no task" in header


def test_the_arguments_of_older_versions_are_upgraded_step_by_step(app: App) -> None:
    calls = Calls()
    older = App(app.redis_url)
    older.task(name="task", version=1)(lambda_free(calls)).publish("one")
    older.close()

    def task(path: str, width: int, color: str) -> None:
        calls(path, width, color)

    declared = app.task(name="task", version=3)(task)

    @declared.upgrade(1)
    def _with_width(arguments: Dict[str, Any]) -> Dict[str, Any]:
        return {**arguments, "width": 1}

    @declared.upgrade(2)
    def _with_color(arguments: Dict[str, Any]) -> Dict[str, Any]:
        arguments["color"] = "red"
        return arguments

    declared.publish("three", 3, "blue")
    assert run(app) == 2
    assert calls.seen == [("one", 1, "red"), ("three", 3, "blue")]


def test_a_version_without_an_upgrade_is_dead_lettered(app: App, redis: Redis) -> None:
    App(app.redis_url).task(name="task")(lambda_free(Calls())).publish("one")
    app.task(name="task", version=2)(lambda_free(Calls()))
    run(app)
    assert "no upgrade from version 1" in dead_letters(redis)[0]


@pytest.mark.parametrize("newer", [{"name": "unknown"}, {"name": "task", "version": 2}])
def test_a_message_for_newer_code_waits_without_blame_and_is_logged_once(
    app: App, redis: Redis, newer: Dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    calls = Calls()
    app.task(name="task")(lambda_free(calls)).publish("mine")
    newer_app = App(app.redis_url)
    newer_app.task(**newer)(lambda_free(calls)).publish_many([("new",), ("new",)])
    with caplog.at_level(logging.INFO, "bizzmq"):
        stop = app.client.consume_message_from_queue("default", app.dispatcher())
        eventually(lambda: app.client.stats("default").requeued == 2 and calls.seen == [("mine",)])
        stop()
    stats = app.client.stats("default")
    assert (stats.delayed, stats.retried, stats.dead_lettered, stats.unaccounted) == (2, 0, 0, 0)
    assert caplog.text.count("waits for a worker that knows its task") == 1

    assert newer_app.client.consume_until_empty("default", newer_app.dispatcher(), timeout_s=30) == 2
    newer_app.close()
    assert calls.seen == [("mine",), ("new",), ("new",)]


def failing(app: App, error: BaseException, runs: int = 100, **options: Any) -> Calls:
    """The calls of a task that always raises this error."""
    calls = Calls(*[error] * runs)
    app.task(name="failing", **options)(lambda_free(calls))
    return calls


@pytest.mark.parametrize(
    ("options", "error", "deliveries"),
    [
        ({}, ValueError(), 4),
        ({"max_retries": 1}, ValueError(), 2),
        ({"max_retries": 0}, ValueError(), 1),
        ({"retry_on": ValueError}, ValueError(), 4),
        ({"retry_on": ValueError}, UnicodeError(), 4),
        ({"retry_on": [KeyError, OSError]}, ValueError(), 1),
        ({"retry_on": KeyError}, RetryLater(0), 4),
        ({"dead_letter_on": ValueError}, UnicodeError(), 1),
        ({"dead_letter_on": KeyError}, ValueError(), 4),
        ({"retry_on": LookupError, "dead_letter_on": KeyError}, KeyError(), 1),
        ({"retry_on": LookupError, "dead_letter_on": KeyError}, IndexError(), 4),
        ({"retry_on": Reject}, Reject("no"), 1),
        ({"retry_for_s": 0}, ValueError(), 1),
        ({"retry_for_s": 3600}, ValueError(), 4),
        ({"retry_delays_s": [0]}, ValueError(), 4),
    ],
)
def test_the_policy_of_a_task_decides_what_is_retried(
    app: App, redis: Redis, options: Dict[str, Any], error: BaseException, deliveries: int
) -> None:
    calls = failing(app, error, **options)
    app.tasks["failing"].publish("a")
    run(app)
    assert len(calls.seen) == deliveries
    assert len(dead_letters(redis)) == 1


@pytest.mark.parametrize(
    ("using", "task", "queue", "app_wide", "deliveries"),
    [
        (1, 2, 3, 4, 2),
        (None, 2, 3, 4, 3),
        (None, None, 3, 4, 4),
        (None, None, None, 4, 5),
        (None, None, None, None, 4),
    ],
)
def test_options_come_from_using_then_task_then_queue_then_app_then_the_default(
    url: str, redis: Redis, using: Any, task: Any, queue: Any, app_wide: Any, deliveries: int
) -> None:
    app = App(url, max_retries=app_wide, retry_delays_s=[0])
    if queue is not None:
        app.queue("default", QueueOptions(config_dead_letter_queue=True, max_retries=queue))
    calls = failing(app, ValueError(), max_retries=task)
    app.tasks["failing"].using(max_retries=using).publish("a")
    run(app)
    app.close()
    assert len(calls.seen) == deliveries
    assert len(dead_letters(redis)) == 1


def test_a_policy_applies_to_messages_that_wait_already(app: App) -> None:
    older = App(app.redis_url)
    failing(older, ValueError(), max_retries=0)
    older.tasks["failing"].publish("a")
    older.close()
    calls = failing(app, ValueError(), max_retries=2)
    run(app)
    assert len(calls.seen) == 3


def test_delays_are_taken_in_order_and_the_last_is_repeated() -> None:
    policy = FailurePolicy(retry_delays_s=[1, 10, 60])
    assert [policy.delay_s(count, ValueError()) for count in range(5)] == [1, 10, 60, 60, 60]


@pytest.mark.parametrize("broken", [lambda _count, _error: 1 / 0, lambda _count, _error: -1, lambda: 1])
def test_a_function_for_delays_that_fails_leaves_the_back_off_of_the_queue(
    app: App, broken: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls = failing(app, ValueError(), runs=1, retry_delays_s=broken)
    app.tasks["failing"].publish("a")
    run(app)
    assert len(calls.seen) == 2
    assert "retry_delays_s has failed" in caplog.text


def test_a_function_for_delays_gets_the_count_and_the_error(app: App) -> None:
    asked: List[Any] = []

    def delay(count: int, error: BaseException) -> float:
        asked.append((count, str(error)))
        return 0

    failing(app, ValueError("why"), runs=2, retry_delays_s=delay)
    app.tasks["failing"].publish("a")
    run(app)
    assert asked == [(0, "why"), (1, "why")]
