"""Two pools with different code, during a deploy: unknown tasks and newer versions wait, nothing is lost or failed."""

from __future__ import annotations

import json
import signal
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import App, BizzMQ
from bizzmq.admin.stats import stats
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.connection.factory import connect
from bizzmq.consumer.in_process import InProcessConsumer
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.app.app_programs import Code, Finished, code, published

__all__ = ["code"]

SOON_S = 40.0
WAITS = "message waits for a worker that knows its task"

OLD = """
    from bizzmq import App

    app = App()

    @app.task(name="greet")
    def greet(name: str) -> None:
        print("old", name, flush=True)
"""
NEW = """
    from bizzmq import App

    app = App()

    @app.task(name="greet", version=3)
    def greet(first: str, last: str, mark: str) -> None:
        print("new", first, last, mark, flush=True)

    @greet.upgrade(1)
    def split(body):
        first, _, last = body["name"].partition(" ")
        return {"first": first, "last": last}

    @greet.upgrade(2)
    def mark(body):
        return {**body, "mark": "!"}

    @app.task(name="added")
    def added() -> None:
        print("added", flush=True)
"""
DEFAULT = {"handler": "tasks:app", "queue": "default", "of_app": True, "concurrency": 1}


def counts(url: str, queue: str = "default") -> Any:
    with open_broker(url) as broker:
        return stats(broker, queue)


def test_an_old_pool_leaves_new_messages_to_the_new_one(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    old = pool_factory(url, cwd=code(OLD), **DEFAULT)
    old.wait_ready()
    directory = code(NEW)

    published(directory, url, "tasks.added.publish(), tasks.greet.publish('Ada', 'King', '?'), tasks.added.publish()")
    published(code(OLD), url, "tasks.greet.publish('Bob Lee')")
    eventually(lambda: "old Bob Lee" in old.log(), SOON_S, old.log)  # it does not wait behind those
    eventually(lambda: counts(url).requeued >= 3, SOON_S, old.log)
    old.signal(signal.SIGTERM)  # at each look either pool may be first, and the delay grows
    assert old.wait(SOON_S) == 0
    new = pool_factory(url, cwd=directory, **DEFAULT)

    eventually(lambda: new.log().count("added") == 2 and "new Ada King ?" in new.log(), SOON_S, new.log)
    assert old.log().count(WAITS) == 2  # once for each reason
    assert "this worker has no task 'added'" in old.log()
    assert "version 3 of task 'greet' is newer than this worker's 1" in old.log()
    found = eventually(lambda: counts(url).acked == 4 and counts(url), SOON_S)
    assert (found.retried, found.dead_lettered, found.discarded, found.unaccounted) == (0, 0, 0, 0)


def test_a_new_pool_upgrades_the_messages_of_old_publishers(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    new = pool_factory(url, cwd=code(NEW), **DEFAULT)
    new.wait_ready()

    published(code(OLD), url, "tasks.greet.publish('Ada King')")

    eventually(lambda: "new Ada King !" in new.log(), SOON_S, new.log)


def test_a_burst_leaves_unknown_tasks_to_others(url: str, pool_factory: Callable[..., Pool], code: Code) -> None:
    published(code(NEW), url, "[tasks.added.publish() for _ in range(50)]")
    published(code(OLD), url, "tasks.greet.publish('Bob')")

    pool = pool_factory(url, cwd=code(OLD), args=["--burst"], **{**DEFAULT, "concurrency": 2})

    assert pool.wait(SOON_S) == 0
    assert "old Bob" in pool.log()
    assert "the burst leaves messages to workers that know their tasks queue=default count=50" in pool.log()
    found = counts(url)
    assert (found.acked, found.delayed, found.unaccounted) == (1, 50, 0)


def test_a_burst_still_waits_for_a_retry_beside_unknown_tasks(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    failing = code(OLD.replace('print("old"', 'raise ValueError("old"'))
    published(code(NEW), url, "tasks.added.publish()")
    published(failing, url, "tasks.greet.publish('Bob')")

    pool = pool_factory(url, cwd=failing, args=["--burst"], **DEFAULT)

    assert pool.wait(SOON_S) == 0
    found = counts(url)
    assert (found.retried, found.dead_lettered, found.delayed) == (3, 1, 1)


@pytest.mark.parametrize("where", ["option", "app"])
def test_an_unknown_task_is_dead_lettered_after_the_limit(
    url: str, pool_factory: Callable[..., Pool], code: Code, where: str
) -> None:
    args = ["--unknown-task-limit=1"] if where == "option" else []
    text = OLD if where == "option" else OLD.replace("App()", "App(unknown_task_limit_s=1)")
    published(code(NEW), url, "tasks.added.publish()")

    pool = pool_factory(url, cwd=code(text), args=args, **DEFAULT)

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert "UnknownTaskError: this worker has no task 'added'" in pool.log()
    assert counts(url).requeued == 1


def test_a_pool_of_an_app_takes_unknown_tasks_of_a_dead_letter_queue_no_further(
    url: str, redis: Redis, pool_factory: Callable[..., Pool], code: Code
) -> None:
    directory = code(NEW)
    published(directory, url, "tasks.added.publish()")
    first = pool_factory(url, cwd=code(OLD), args=["--unknown-task-limit=0"], **DEFAULT)
    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, first.log)

    second = pool_factory(url, cwd=directory, **{**DEFAULT, "queue": "default_dlq", "of_app": False})

    eventually(lambda: "added" in second.log().splitlines(), SOON_S, second.log)
    eventually(lambda: counts(url, "default_dlq").acked == 1, SOON_S, second.log)


def test_a_plain_handler_leaves_messages_of_tasks_to_workers_that_know_them(url: str, mq: BizzMQ, code: Code) -> None:
    published(code(NEW), url, "tasks.added.publish()")
    bodies: list[Any] = []

    mq.publish_message_to_queue("default", {"plain": 1})
    stop = mq.consume_message_from_queue("default", bodies.append)
    try:
        eventually(lambda: counts(url).acked == 1 and counts(url).delayed == 1, SOON_S)
    finally:
        stop()

    assert bodies == [{"plain": 1}]
    assert counts(url).requeued == 1


def test_a_plain_handler_of_a_dead_letter_queue_gets_the_arguments(url: str, mq: BizzMQ, code: Code) -> None:
    published(code(NEW), url, "tasks.greet.publish('Ada', 'King', '!')")
    seen: list[Any] = []
    _dead_letter(url)

    mq.consume_until_empty("default_dlq", lambda body, context: seen.append((body, context.task)), timeout_s=20)

    assert seen == [({"first": "Ada", "last": "King", "mark": "!"}, "greet")]


def _dead_letter(url: str) -> None:
    """Dead-letter what waits in `default`, by a worker of this test."""
    app = App(unknown_task_limit_s=0)
    app.task(name="other")(_nothing)
    consumer = InProcessConsumer(lambda: Broker(connect(url)), "default", app.dispatcher())
    consumer.start()
    try:
        eventually(lambda: counts(url).dead_lettered == 1, SOON_S)
    finally:
        consumer.stop()


def _nothing() -> None:
    pass


def test_publish_of_the_command_line_publishes_for_a_task(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    directory = code(NEW)
    pool = pool_factory(url, cwd=directory, **DEFAULT)
    pool.wait_ready()

    def publish(*arguments: str) -> Finished:
        return Finished(["bizzmq", "--redis-url", url, "publish", "default", *arguments], directory)

    assert publish("--task", "greet", '{"name": "Ada King"}').code == 0
    assert publish("--task", "greet", "--task-version", "2", '{"first": "B", "last": "C"}', "--result-ttl=60").code == 0
    eventually(lambda: "new Ada King !" in pool.log() and "new B C !" in pool.log(), SOON_S, pool.log)

    refused = publish("--task", "greet", "[1]")
    assert (refused.code, refused.err) == (
        2,
        'bizzmq: the argument is no object of arguments: write {"parameter": value, ...} (see bizzmq --help)\n',
    )
    assert publish("--task-version", "2", "{}").code == 2
    assert publish("--task", "a b", "{}").code == 2


def test_torture_refuses_an_app_in_one_line(code: Code) -> None:
    ended = Finished(["bizzmq", "torture", "tasks:app", "--seconds=1"], code(NEW))

    assert ended.code == 2
    assert ended.err == "bizzmq: tasks:app is an app: torture runs a plain handler, such as tasks:handler\n"


def test_tasks_of_the_command_line_lists_an_app(code: Code) -> None:
    directory = code(
        NEW.replace('@app.task(name="added")', 'print("noise")\n    @app.task(name="added", max_retries=5)')
    )

    table = Finished(["bizzmq", "tasks", "tasks"], directory)
    listed = Finished(["bizzmq", "tasks", "tasks:app", "--json"], directory)

    assert table.code == 0, table.err
    assert "greet" in table.out
    assert "(first: str, last: str, mark: str) -> None" in table.out
    assert "queue default: no options declared" in table.out
    document = json.loads(listed.out)
    assert [(one["name"], one["version"], one["max_retries"]) for one in document["tasks"]] == [
        ("greet", 3, None), ("added", 1, 5),
    ]  # fmt: skip
    assert document["queues"] == {"default": None}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def app(body):\n    pass", "tasks:app is a plain handler: name an app, such as tasks:app"),
        ("raise ValueError('no')", "importing 'tasks' failed: ValueError: no"),
    ],
)
def test_tasks_of_the_command_line_refuses_what_is_no_app(code: Code, text: str, line: str) -> None:
    ended = Finished(["bizzmq", "tasks", "tasks:app"], code(text))

    assert (ended.code, ended.err.splitlines()[-1]) == (2, f"bizzmq: {line}")
