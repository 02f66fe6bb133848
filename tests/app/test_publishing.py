"""Publishing tasks: what is stored, and on which server."""

from __future__ import annotations

import json
import os
import threading
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import (
    App,
    ArgumentsError,
    BrokerUnavailableError,
    ConfigurationError,
    Context,
    MessageOptions,
    QueueOptions,
)
from bizzmq.testing.layout import Keys, command
from bizzmq.testing.server import RedisServer


def thumbnail(path: str, width: int = 200) -> str:
    return f"{path}:{width}"


def report(context: Context, month: str) -> str:
    return f"{context.id} {month}"


def stored(redis: Redis, queue: str, message_id: str) -> Any:
    """The header and the body of a stored message."""
    envelope: str = command(redis, "HGET", Keys(queue).messages, message_id)
    header, body = envelope.split("\n")
    return json.loads(header.partition("\t")[2] or "{}"), json.loads(body)


@pytest.fixture
def app(url: str) -> Any:
    app = App(url)
    yield app
    app.close()


def test_a_message_has_the_name_of_its_task_in_the_header_and_its_arguments_as_body(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail", queue="images")(thumbnail)
    handle = task.publish("a.png", width=100)
    assert (handle.queue, handle.task) == ("images", "thumbnail")
    assert stored(redis, "images", handle.id) == ({"task": "thumbnail"}, {"path": "a.png", "width": 100})


def test_a_default_stays_with_the_code_of_the_worker(app: App, redis: Redis) -> None:
    handle = app.task(name="thumbnail")(thumbnail).publish("a.png")
    assert stored(redis, "default", handle.id)[1] == {"path": "a.png"}


def test_the_context_is_not_an_argument(app: App, redis: Redis) -> None:
    task = app.task(name="report")(report)
    assert stored(redis, "default", task.publish("2026-01").id)[1] == {"month": "2026-01"}
    with pytest.raises(ArgumentsError):
        task.publish("2026-01", "2026-02")


def test_options_travel_with_the_message(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail", version=2, priority=3, result_ttl_s=60)(thumbnail)
    assert stored(redis, "default", task.publish("a").id)[0] == {
        "task": "thumbnail", "version": 2, "priority": 3, "result_ttl_s": 60.0,
    }  # fmt: skip
    app.queue("other")
    handle = task.using(
        queue="other", priority=0, max_retries=1, timeout_s=5, result_ttl_s=0, headers={"tenant": "7"}
    ).publish("a")
    assert stored(redis, "other", handle.id)[0] == {
        "task": "thumbnail", "version": 2, "retries": 1, "timeout_s": 5.0, "headers": {"tenant": "7"},
    }  # fmt: skip


def test_many_are_published_in_order_and_by_either_form_of_arguments(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    handles = task.publish_many([("a",), ["b", 2], {"path": "c", "width": 3}])
    assert [stored(redis, "default", one.id)[1] for one in handles] == [
        {"path": "a"}, {"path": "b", "width": 2}, {"path": "c", "width": 3},
    ]  # fmt: skip
    assert [one.id for one in handles] == sorted(one.id for one in handles)
    assert task.publish_many([]) == []
    assert len(task.publish_many(("x",) for _ in range(2000))) == 2000


@pytest.mark.parametrize("calls", ["abc", {"path": "a"}, 3, [("a",), "b"], [("a",), 3]])
def test_calls_that_are_no_arguments_publish_nothing(app: App, redis: Redis, calls: Any) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    with pytest.raises(ConfigurationError):
        task.publish_many(calls)
    assert command(redis, "KEYS", "*") == []


def test_one_wrong_call_of_many_publishes_nothing(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    with pytest.raises(ArgumentsError, match="height"):
        task.publish_many([("a",), {"path": "b", "height": 3}])
    assert command(redis, "KEYS", "*") == []


def test_messages_can_be_made_before_they_are_published(app: App, redis: Redis) -> None:
    first, second = app.task(name="first")(thumbnail), app.task(name="second", queue="other")(report)
    messages: Any = [first.message("a"), first.message("b"), second.message("m"), first.using(priority=2).message("c")]
    assert command(redis, "KEYS", "*") == []
    handles = app.publish_messages(messages)
    assert [one.task for one in handles] == ["first", "first", "second", "first"]
    assert [stored(redis, one.queue, one.id)[1] for one in handles] == [
        {"path": "a"}, {"path": "b"}, {"month": "m"}, {"path": "c"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"queue": "unknown"}, "the app has no queue 'unknown'; it has default"),
        ({"priority": "3"}, "priority must be"),
        ({"max_retries": -1}, "max_retries must be"),
        ({"headers": {"a": 1}}, "headers must be"),
        ({"headers": {"a": "b" * 9000}}, "headers must be at most"),
        ({"result_ttl_s": float("inf")}, "result_ttl_s must be"),
        ({"confirm": "maybe"}, "confirm must be"),
    ],
)
def test_a_wrong_option_of_a_message_is_refused(app: App, options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        app.task(name="thumbnail")(thumbnail).using(**options)


def test_a_missing_queue_is_created_with_its_declared_options(app: App) -> None:
    options = QueueOptions(max_retries=7)
    app.queue("images", options)
    app.task(name="thumbnail", queue="images")(thumbnail).publish("a.png")
    assert app.client.create_queue("images", options) is False


def test_a_missing_queue_without_declared_options_takes_those_that_come_later(app: App) -> None:
    app.task(name="thumbnail")(thumbnail).publish("a.png")
    assert app.client.create_queue("default", QueueOptions(max_retries=7)) is True


def test_the_url_comes_from_the_environment_at_the_first_use(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App()
    task = app.task(name="thumbnail")(thumbnail)
    monkeypatch.setenv("BIZZMQ_REDIS_URL", url)
    assert stored(redis, "default", task.publish("a.png").id)[0] == {"task": "thumbnail"}
    app.close()


def test_without_a_url_and_a_server_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BIZZMQ_REDIS_URL", "BIZZMQ_REDIS_URL_FILE", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("bizzmq.utils.server_url.DEFAULT_URL", "redis://localhost:1/0")
    task = App().task(name="thumbnail")(thumbnail)
    with pytest.raises(BrokerUnavailableError, match=r"set BIZZMQ_REDIS_URL, or write App\('redis://...'\)"):
        task.publish("a.png")


def test_a_closed_app_can_be_used_again(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    ids = [task.publish("a").id]
    app.close()
    app.close()
    ids.append(task.publish("b").id)
    assert sorted(command(redis, "HKEYS", Keys("default").messages)) == sorted(ids)


def test_threads_share_one_app(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(task.publish("a").id for _ in range(50))) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(set(ids)) == 400
    assert sorted(command(redis, "HKEYS", Keys("default").messages)) == sorted(ids)


@pytest.mark.parametrize("used_before", [False, True])
def test_a_forked_child_uses_the_app_of_its_parent(app: App, redis: Redis, used_before: bool) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    if used_before:
        task.publish("before")

    def child() -> None:
        for _ in range(20):
            task.publish("child")

    pids = [_forked(child) for _ in range(2)]
    mine = [task.publish("parent").id for _ in range(20)]
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    assert len(set(mine)) == 20
    assert command(redis, "HLEN", Keys("default").messages) == 60 + used_before


def _forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_a_connection_that_was_closed_while_idle_is_not_an_error(app: App, redis: Redis, server: RedisServer) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    task.publish("a")
    command(redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    task.publish("b")
    assert command(redis, "HLEN", Keys("default").messages) == 2
    assert server.url


def test_headers_and_results_are_options_of_plain_messages_too(app: App, redis: Redis) -> None:
    app.client.create_queue("plain")
    options = MessageOptions(result_ttl_s=60, headers={"trace": "1"})
    message_id = app.client.publish_message_to_queue("plain", {"n": 1}, options)
    assert stored(redis, "plain", message_id) == ({"result_ttl_s": 60.0, "headers": {"trace": "1"}}, {"n": 1})
