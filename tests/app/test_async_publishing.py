"""Publishing tasks from asyncio."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any, List

import pytest
from redis import Redis

from bizzmq import App, ArgumentsError, ConfigurationError, QueueOptions
from bizzmq.testing.layout import Keys, command
from tests.app.test_publishing import stored, thumbnail


@pytest.fixture
def app(url: str) -> App:
    return App(url)


def run(app: App, work: Any) -> Any:
    async def closing() -> Any:
        try:
            return await work
        finally:
            await app.aclose()

    return asyncio.run(closing())


def test_a_task_is_published_from_asyncio_with_its_options(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail", queue="images", version=2)(thumbnail)
    handle = run(app, task.using(priority=3).apublish("a.png", width=100))
    assert (handle.queue, handle.task) == ("images", "thumbnail")
    assert stored(redis, "images", handle.id) == (
        {"task": "thumbnail", "version": 2, "priority": 3}, {"path": "a.png", "width": 100},
    )  # fmt: skip


def test_many_are_published_in_order(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    handles = run(app, task.apublish_many([("a",), {"path": "b"}, *[("c",)] * 1500]))
    assert len(handles) == command(redis, "HLEN", Keys("default").messages) == 1502
    assert [stored(redis, "default", one.id)[1]["path"] for one in handles[:3]] == ["a", "b", "c"]
    assert run(app, task.apublish_many([])) == []


def test_prepared_messages_are_published(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    first = run(app, task.message("a").apublish())
    others = run(app, app.apublish_messages([task.message("b"), task.using(priority=1).message("c")]))
    assert [stored(redis, "default", one.id)[1]["path"] for one in [first, *others]] == ["a", "b", "c"]


def test_a_missing_queue_is_created_as_the_app_declares_it(app: App) -> None:
    app.queue("images", QueueOptions(max_retries=7))
    tasks = [app.task(name=name, queue=name)(thumbnail) for name in ("images", "mail")]
    for task in tasks:
        run(app, task.apublish("a"))
    assert app.client.show_queue("images").options.max_retries == 7
    assert not app.client.show_queue("images").is_implicit
    assert app.client.show_queue("mail").is_implicit
    app.close()


def test_wrong_arguments_and_calls_publish_nothing(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    with pytest.raises(ArgumentsError):
        run(app, task.apublish("a", height=3))
    with pytest.raises(ConfigurationError):
        run(app, task.apublish_many("abc"))
    assert command(redis, "KEYS", "*") == []


def test_hundreds_of_coroutines_share_the_app(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)

    async def publish_all() -> List[Any]:
        return await asyncio.gather(*(task.apublish(str(number)) for number in range(300)))

    ids = [one.id for one in run(app, publish_all())]
    assert sorted(command(redis, "HKEYS", Keys("default").messages)) == sorted(ids)


def test_a_second_event_loop_and_the_blocking_client_use_the_same_app(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    ids = [asyncio.run(task.apublish("a")).id for _ in range(2)]
    ids.append(task.publish("b").id)
    ids.append(run(app, task.apublish("c")).id)
    app.close()
    assert sorted(command(redis, "HKEYS", Keys("default").messages)) == sorted(ids)


def test_a_forked_child_publishes_with_a_loop_of_its_own(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    run(app, task.apublish("parent"))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            run(app, task.apublish("child"))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert command(redis, "HLEN", Keys("default").messages) == 2


def test_a_cancelled_publish_leaves_the_app_usable_and_no_foreign_id(app: App, redis: Redis) -> None:
    task = app.task(name="thumbnail")(thumbnail)
    chance = random.Random(20261130)

    async def cancel_some() -> List[str]:
        ids: List[str] = []
        await task.apublish("first")
        for _ in range(300):
            publishing = asyncio.ensure_future(task.apublish("a"))
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            publishing.cancel()
            try:
                ids.append((await publishing).id)
            except asyncio.CancelledError:
                ids.append((await task.apublish("b")).id)
        return ids

    ids = run(app, cancel_some())
    assert len(set(ids)) == len(ids)
    assert set(ids) <= set(command(redis, "HKEYS", Keys("default").messages))
