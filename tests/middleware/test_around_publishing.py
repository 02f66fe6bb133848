"""The hooks around publishing: what they may change, and that no message is lost by them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bizzmq import App, BizzMQ, MessageOptions, Publication, QueueNotFoundError
from bizzmq.errors import EncodeError
from tests.middleware.recorders import Events, Recorder, raiser


def published(mq: BizzMQ, queue: str) -> list[Any]:
    """Body, headers and priority of the messages of a queue."""
    found: list[Any] = []
    mq.consume_until_empty(
        queue, lambda body, context: found.append((body, dict(context.headers), context.priority)), timeout_s=30
    )
    return found


def test_a_call_that_publishes_is_one_publication_with_its_ids(url: str, queue: str) -> None:
    events: Events = []
    with BizzMQ(url, middleware=[Recorder("m1", events), Recorder("m2", events)]) as mq:
        one = mq.publish_message_to_queue(queue, {"n": 1})
        many = mq.publish_messages_to_queue(queue, (n for n in range(3)))

    assert events == [
        ("m1", "before_publish", "q", ({"n": 1},)), ("m2", "before_publish", "q", ({"n": 1},)),
        ("m2", "after_publish", (one,), None), ("m1", "after_publish", (one,), None),
        ("m1", "before_publish", "q", (0, 1, 2)), ("m2", "before_publish", "q", (0, 1, 2)),
        ("m2", "after_publish", tuple(many), None), ("m1", "after_publish", tuple(many), None),
    ]  # fmt: skip


def test_before_publish_may_change_headers_and_options(url: str, queue: str, mq: BizzMQ) -> None:
    class First:
        def before_publish(self, publication: Publication) -> None:
            publication.options = dataclasses.replace(publication.options, priority=7, headers={"first": "1"})

    class Second:
        def before_publish(self, publication: Publication) -> None:
            assert publication.options.priority == 7
            publication.headers["second"] = "2"

    with BizzMQ(url, middleware=[First(), Second()]) as client:
        client.publish_message_to_queue(queue, "a", MessageOptions(priority=1))

    assert published(mq, queue) == [("a", {"first": "1", "second": "2"}, 7)]


BAD_HEADERS = [{"a": 1}, {1: "a"}, {"a": "x" * 10_000}, {str(n): "" for n in range(100)}, [], "ab", 3]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_a_change_that_is_invalid_is_undone_and_logged(
    url: str, queue: str, mq: BizzMQ, caplog: pytest.LogCaptureFixture, headers: Any
) -> None:
    class Bad:
        def before_publish(self, publication: Publication) -> None:
            publication.headers["half"] = "done"
            publication.options = MessageOptions(priority=9)
            publication.headers = headers

    with BizzMQ(url, middleware=[Bad()]) as client:
        client.publish_message_to_queue(queue, "a", MessageOptions(priority=1, headers={"kept": "yes"}))

    assert published(mq, queue) == [("a", {"kept": "yes"}, 1)]
    assert "a middleware has failed" in caplog.text
    assert "Bad hook=before_publish" in caplog.text


@pytest.mark.parametrize("options", [3, {"priority": 1}, "options"], ids=repr)
def test_options_of_another_kind_are_undone_and_logged(
    url: str, queue: str, mq: BizzMQ, caplog: pytest.LogCaptureFixture, options: Any
) -> None:
    class Bad:
        def before_publish(self, publication: Publication) -> None:
            publication.options = options

    with BizzMQ(url, middleware=[Bad()]) as client:
        client.publish_message_to_queue(queue, "a", MessageOptions(priority=1))

    assert published(mq, queue) == [("a", {}, 1)]
    assert "options must be MessageOptions(...) or None" in caplog.text


@pytest.mark.parametrize("name", ["queue", "task", "version", "bodies", "unknown"])
def test_a_publication_cannot_be_sent_elsewhere(name: str) -> None:
    publication = Publication("q", [1], MessageOptions(), "", 1)

    with pytest.raises(AttributeError, match=f"headers of a publication, not its {name}"):
        setattr(publication, name, "other")


@pytest.mark.parametrize("hook", ["before_publish", "after_publish"])
def test_an_error_in_a_hook_loses_no_message(
    url: str, queue: str, mq: BizzMQ, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    events: Events = []
    broken = Recorder("broken", events, raiser(hook, ValueError("broken")))
    with BizzMQ(url, middleware=[broken, Recorder("whole", events)]) as client:
        ids = client.publish_messages_to_queue(queue, [1, 2])

    assert len(ids) == 2
    assert [body for body, *_ in published(mq, queue)] == [1, 2]
    assert [event[0] for event in events if event[1] == "after_publish"] == (
        ["whole"] if hook == "before_publish" else ["whole", "broken"]
    )
    assert caplog.text.count("a middleware has failed") == 1


def test_an_interrupt_in_a_hook_ends_the_call_and_nothing_is_published(url: str, queue: str) -> None:
    events: Events = []
    interrupted = Recorder("two", events, raiser("before_publish", KeyboardInterrupt()))
    with BizzMQ(url, middleware=[Recorder("one", events), interrupted]) as mq:
        with pytest.raises(KeyboardInterrupt) as raised:
            mq.publish_message_to_queue(queue, 1)

        assert mq.stats(queue).waiting == 0
    assert events[-1] == ("one", "after_publish", (), raised.value)
    assert vars(raised.value)["published_ids"] == []


def test_an_interrupt_after_publishing_says_what_is_published(url: str, queue: str) -> None:
    with BizzMQ(url, middleware=[Recorder("m", [], raiser("after_publish", KeyboardInterrupt()))]) as mq:
        with pytest.raises(KeyboardInterrupt) as raised:
            mq.publish_message_to_queue(queue, 1)

        assert mq.stats(queue).waiting == 1
    assert len(vars(raised.value)["published_ids"]) == 1


def test_a_failed_publish_is_told_to_the_hooks_and_raised(url: str, queue: str) -> None:
    events: Events = []
    with BizzMQ(url, middleware=[Recorder("m", events)]) as mq:
        with pytest.raises(EncodeError) as raised:
            mq.publish_message_to_queue(queue, {1, 2})
        with pytest.raises(QueueNotFoundError):
            mq.publish_message_to_queue("nowhere", 1)

    assert events[1] == ("m", "after_publish", (), raised.value)
    assert isinstance(events[3][3], QueueNotFoundError)


def test_messages_that_fail_while_they_are_read_are_not_published(url: str, queue: str) -> None:
    def bodies() -> Any:
        yield 1
        raise OSError("the file is gone")

    events: Events = []
    with BizzMQ(url, middleware=[Recorder("m", events)]) as mq:
        with pytest.raises(OSError, match="the file is gone") as raised:
            mq.publish_messages_to_queue(queue, bodies())

        assert mq.stats(queue).waiting == 0
    assert vars(raised.value)["published_ids"] == []
    assert events == []


def test_what_a_hook_publishes_goes_past_the_middleware(url: str, queue: str) -> None:
    class Audits:
        client: BizzMQ

        def before_publish(self, publication: Publication) -> None:
            self.client.publish_message_to_queue(queue, "audit")

    audits = Audits()
    with BizzMQ(url, middleware=[audits]) as mq:
        audits.client = mq
        mq.publish_message_to_queue(queue, "body")

        assert mq.stats(queue).waiting == 2


def test_the_task_of_a_publication_is_known(url: str) -> None:
    seen: list[Any] = []

    class Looks:
        def before_publish(self, publication: Publication) -> None:
            seen.append((publication.queue, publication.task, publication.version, publication.bodies))

    app = App(url)

    @app.task(name="resize", queue="images", version=3)
    def resize(width: int) -> None: ...

    app.create_queue("images")
    app.add_middleware(Looks())  # also with a client that is connected
    resize.publish_many([(1,), (2,)])
    app.close()

    assert seen == [("images", "resize", 3, ({"width": 1}, {"width": 2}))]
