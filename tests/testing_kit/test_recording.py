"""What was published can be compared with messages of tasks."""

from __future__ import annotations

import asyncio

import pytest

from bizzmq import App, ArgumentsError, BizzMQ, ConfigurationError, QueueOptions
from bizzmq.app.published import PublishedMessage


def test_recording_needs_no_server_and_runs_nothing(app: App) -> None:
    note = app.tasks["note"]
    with app.recording() as published:
        note.publish("a")
        note.publish_many([("b",), ("c", 2)])

        assert app.published == published == [note.message("a"), note.message("b"), note.message("c", 2)]
        assert app.state.ran == []
    assert published[2].arguments == {"text": "c", "times": 2}
    assert len({one.id for one in published}) == 3


def test_equality_looks_at_task_arguments_queue_and_options(app: App) -> None:
    note, fail = app.tasks["note"], app.tasks["fail"]
    app.queue("other")
    with app.recording() as published:
        note.using(priority=5, delay_s=60).publish("a")
    (one,) = published

    assert one == note.using(priority=5, delay_s=60).message("a")
    assert note.using(priority=5, delay_s=60).message("a") == one
    assert one != note.using(priority=5, delay_s=60).message("b")
    assert one != note.using(priority=4, delay_s=60).message("a")
    assert one != note.using(priority=5, delay_s=60, queue="other").message("a")
    assert one != fail.using(priority=5, delay_s=60).message()
    assert one == PublishedMessage("note", {"text": "a"}, "default", one.options)
    assert one != "a"


def test_headers_are_compared_only_if_both_messages_have_some(app: App) -> None:
    note = app.tasks["note"]
    with app.recording() as published:
        note.using(headers={"trace": "1"}).publish("a")

    assert published == [note.message("a")]
    assert published == [note.using(headers={"trace": "1"}).message("a")]
    assert published != [note.using(headers={"trace": "2"}).message("a")]


def test_a_diff_shows_both_messages_with_the_options_that_matter(app: App) -> None:
    note = app.tasks["note"]
    with app.recording() as published:
        note.using(priority=5).publish("a")

    assert repr(published) == "[PublishedMessage('note', {'text': 'a'}, queue='default', priority=5)]"
    assert repr(note.message("a")) == "TaskMessage('note', {'text': 'a'}, queue='default')"


def test_messages_are_checked_as_ever(app: App) -> None:
    with app.recording() as published:
        with pytest.raises(ArgumentsError):
            app.tasks["note"].publish()
        with pytest.raises(ConfigurationError):
            app.client.publish_message_to_queue("not a name", {})
        with pytest.raises(ConfigurationError):
            app.client.create_queue("not a name")
    assert published == []


def test_testing_connects_to_another_server_and_records_there(app: App, url: str) -> None:
    note = app.tasks["note"]
    with app.testing(url) as published:
        handle = note.publish("a")
        message_id = app.client.publish_message_to_queue("default", {"plain": True})
        assert app.redis_url == url
        assert (published[0], published[0].id) == (note.message("a"), handle.id)
        assert (published[1].id, published[1].arguments) == (message_id, {"plain": True})
        with BizzMQ(url) as mq:
            assert mq.stats("default").waiting == 2

    assert app.redis_url != url


def test_what_asyncio_publishes_is_recorded_and_goes_to_the_same_server(app: App, url: str) -> None:
    coroutine, note = app.tasks["coroutine"], app.tasks["note"]

    async def test() -> None:
        await coroutine.apublish("a")
        await note.apublish_many([("b",), ("c",)])
        assert await app.aclient.publish_message_to_queue("default", {"plain": True})

    before = app.aclient
    with app.testing(url) as published:
        asyncio.run(test())
        assert app.client.stats("default").waiting == 4
        assert published == [coroutine.message("a"), note.message("b"), note.message("c")]
    assert app.aclient is before

    with app.inline() as inline:
        asyncio.run(coroutine.apublish("inline"))
    assert [run.state for run in inline.runs] == ["succeeded"]
    with app.recording() as recorded:
        asyncio.run(coroutine.apublish("recorded"))
    assert recorded == [coroutine.message("recorded")]


def test_what_a_test_changes_in_the_app_ends_with_it(app: App, url: str) -> None:
    app.on_worker_boot(_hook)
    state = app.state
    with app.testing(url):
        app.state.engine = "a fake"
        app.state.ran.append("kept: it is the list's own content")
        app.on_worker_boot(_other_hook)
        app.on_worker_shutdown(_other_hook)
        app.queue("of-the-test", QueueOptions())

        @app.task(name="of-the-test")
        def of_the_test() -> None: ...

        app.state = None  # type: ignore[assignment]

    assert app.state is state
    assert not hasattr(app.state, "engine")
    assert (app._boot_hooks, app._shutdown_hooks) == ([_hook], [])
    assert "of-the-test" not in app.queues
    assert "of-the-test" not in app.tasks


def test_an_error_in_the_test_ends_it_in_order(app: App, url: str) -> None:
    def test() -> None:
        with app.testing(url):
            app.state.engine = "a fake"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        test()

    assert not hasattr(app.state, "engine")


def _hook() -> None: ...


def _other_hook() -> None: ...
