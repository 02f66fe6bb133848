"""The hooks around a handler: their order, what they receive, and what an exception in one of them means."""

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from typing import Any, Callable, Iterator

import pytest

from bizzmq import App, BizzMQ, MessageOptions, QueueOptions, Reject, RetryLater, add_middleware
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.errors import CpuTimeExceeded, Draining, MemoryLimitExceeded, MessageTimeout, UnknownTaskError
from bizzmq.middleware import registry
from bizzmq.testing.wait import eventually
from tests.consumer.handler_runs import context
from tests.middleware.recorders import Events, Recorder, raiser, steps

Consume = Callable[..., Events]


def nothing(_: str) -> None:
    """An act of a middleware that only records."""


@pytest.fixture
def consume(url: str) -> Consume:
    """Publish bodies, handle them with middlewares, and return the events."""

    def run(function: Any, *bodies: Any, acts: Any = (nothing,), options: QueueOptions | None = None) -> Events:
        events: Events = []
        recorders = [Recorder(f"m{number}", events, act) for number, act in enumerate(acts, 1)]
        with BizzMQ(url) as plain, BizzMQ(url, middleware=recorders) as mq:
            plain.create_queue("q", options or QueueOptions(config_dead_letter_queue=True, max_retries=0))
            plain.publish_messages_to_queue("q", bodies or [1])
            mq.consume_until_empty("q", function, timeout_s=30)
        return events

    return run


@pytest.fixture
def clean_registry() -> Iterator[None]:
    before = list(registry.registered)
    yield
    registry.registered[:] = before


def test_hooks_are_called_in_order_and_unwound_in_reverse(consume: Consume) -> None:
    events = consume(lambda body: {"got": body}, {"a": 1}, acts=(nothing, nothing))

    assert events == [
        ("m1", "before_handler", {"a": 1}),
        ("m2", "before_handler", {"a": 1}),
        ("m2", "after_handler", {"got": {"a": 1}}, None),
        ("m1", "after_handler", {"got": {"a": 1}}, None),
    ]


def test_a_failure_reaches_every_hook_as_the_error_of_the_handler(consume: Consume) -> None:
    error = ValueError("no")

    def fail(body: Any) -> None:
        raise error

    first, second, third = consume(fail)

    assert first[1:] == ("before_handler", 1)
    assert second[1:] == ("after_handler", None, error)
    assert third[1:3] == ("on_dead_letter", error)
    assert third[3]["error_type"] == "ValueError"
    assert third[3]["queue"] == "q"


def test_a_retry_is_told_with_its_delay_and_a_discard_without_a_record(consume: Consume) -> None:
    def fail(body: Any) -> None:
        raise RetryLater(0.25)

    events = consume(fail, options=QueueOptions(max_retries=1))

    decisions = [event[1:] for event in events if event[1] in ("on_retry", "on_dead_letter")]
    assert [(hook, fact) for hook, _, fact in decisions] == [("on_retry", 0.25), ("on_dead_letter", None)]


def test_the_middleware_of_an_app_is_inside_that_of_the_process(url: str, clean_registry: None) -> None:
    events: Events = []
    add_middleware(Recorder("process", events))
    app = App(url, middleware=[Recorder("app", events)])
    app.add_middleware(Recorder("added", events))

    @app.task(name="double", queue="q")
    def double(n: int) -> int:
        return 2 * n

    app.create_queue("q")
    double.publish(4)
    with BizzMQ(url) as mq:
        mq.consume_until_empty("q", app.dispatcher(), timeout_s=30)
    app.close()

    order = ["process", "app", "added"]
    assert [name for name, hook, *_ in events if hook == "before_publish"] == order
    assert [name for name, hook, *_ in events if hook == "after_publish"] == order[::-1]
    assert [name for name, hook, *_ in events if hook == "before_handler"] == order
    assert [event[0:4:2] for event in events if event[1] == "after_handler"] == [(name, 8) for name in order[::-1]]


ERRORS = [ValueError("broken"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("hook", ["before_handler", "after_handler", "on_dead_letter", "on_retry"])
def test_an_error_in_a_hook_is_logged_with_its_name_and_changes_nothing(
    consume: Consume, caplog: pytest.LogCaptureFixture, mq: BizzMQ, hook: str, error: BaseException
) -> None:
    def fail(body: Any) -> None:
        raise ZeroDivisionError

    options = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0)
    events = consume(fail, acts=(raiser(hook, error), nothing), options=options)

    assert mq.stats("q").dead_lettered == 1
    assert steps(events).count(("m2", "after_handler")) == 2
    logged = [record.getMessage() for record in caplog.records if record.name == "bizzmq.middleware"]
    assert len(logged) == (1 if hook in ("on_dead_letter", "on_retry") else 2)
    assert all("middleware=tests.middleware.recorders.Recorder" in line and hook in line for line in logged)


def test_after_handler_is_called_where_before_handler_has_returned(consume: Consume) -> None:
    events = consume(print, acts=(nothing, raiser("before_handler", ValueError()), nothing))

    assert [event[0] for event in events if event[1] == "after_handler"] == ["m3", "m1"]


@pytest.mark.parametrize("error", [Reject("not for me"), RetryLater(5.0)], ids=["Reject", "RetryLater"])
def test_before_handler_may_refuse_a_message(consume: Consume, mq: BizzMQ, error: BaseException) -> None:
    handled: list[Any] = []

    events = consume(handled.append, acts=(nothing, raiser("before_handler", error), nothing))

    assert handled == []
    assert steps(events)[:3] == [("m1", "before_handler"), ("m2", "before_handler"), ("m1", "after_handler")]
    assert events[2][2:] == (None, error)
    assert [event[0] for event in events if event[1] == "on_dead_letter"] == ["m1", "m2", "m3"]
    assert mq.stats("q").dead_lettered == 1


def test_a_refusal_in_another_hook_than_before_handler_has_no_effect(consume: Consume, mq: BizzMQ) -> None:
    consume(print, acts=(raiser("after_handler", Reject("too late")),))

    assert (mq.stats("q").acked, mq.stats("q").dead_lettered) == (1, 0)


LIMITS = [CpuTimeExceeded(1.0), Draining("soon"), MemoryLimitExceeded(), MessageTimeout(1.0)]


@pytest.mark.parametrize("hook", ["before_handler", "after_handler"])
@pytest.mark.parametrize("limit", LIMITS, ids=lambda error: type(error).__name__)
def test_a_limit_that_strikes_in_a_hook_is_the_failure_of_the_message(hook: str, limit: BaseException) -> None:
    events: Events = []
    middlewares = [Recorder("m1", events), Recorder("m2", events, raiser(hook, limit)), Recorder("m3", events)]
    handler = Handler(lambda body: events.append(("handler",)), middlewares)

    assert handler.run({}, context()) is limit

    assert (("handler",) in events) == (hook == "after_handler")
    assert events[-1] == ("m1", "after_handler", None, limit)


def test_hooks_may_be_async_and_run_in_the_loop_of_an_async_handler(url: str, queue: str) -> None:
    seen: list[Any] = []

    class Async:
        async def before_handler(self, context: Any) -> None:
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop())

        async def after_handler(self, context: Any, result: Any, error: Any) -> None:
            seen.append((asyncio.get_running_loop(), result, error))

    async def handle(body: Any) -> int:
        seen.append(asyncio.get_running_loop())
        return 7

    with BizzMQ(url, middleware=[Async()]) as mq:
        mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, handle, timeout_s=30)

    before, handler, (after, result, error) = seen
    assert before is handler is after
    assert (result, error) == (7, None)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_variable_of_before_handler_is_seen_by_its_message_only(url: str, is_async: bool) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen: list[Any] = []

    class Sets:
        def before_handler(self, context: Any) -> None:
            seen.append(("before", variable.get()))
            variable.set(f"of {context.body}")

        def on_dead_letter(self, context: Any, error: Any, record: Any) -> None:
            seen.append(("dead", variable.get()))

    def handle(body: Any) -> None:
        seen.append(("handler", variable.get()))
        variable.set("left behind")
        if body == 2:
            raise ValueError

    async def handle_async(body: Any) -> None:
        handle(body)

    with BizzMQ(url, middleware=[Sets()]) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
        mq.publish_messages_to_queue("q", [1, 2])
        mq.consume_until_empty("q", handle_async if is_async else handle, timeout_s=30)

    left = "of 2" if is_async else "left behind"
    assert seen == [
        ("before", "none"), ("handler", "of 1"), ("before", "none"), ("handler", "of 2"), ("dead", left)
    ]  # fmt: skip


def test_a_task_that_this_worker_does_not_know_is_released(url: str, mq: BizzMQ) -> None:
    events: Events = []
    seen: list[str] = []

    class Sees:
        def on_release(self, context: Any, error: Any, delay_s: float) -> None:
            seen.append(context.id)

    publisher, app = App(url), App(url, middleware=[Sees(), Recorder("m", events)])

    @publisher.task(name="theirs", queue="q")
    def theirs() -> None: ...

    @app.task(name="ours", queue="q")
    def ours() -> None: ...

    app.create_queue("q")
    ours.publish()
    waiting = theirs.publish()
    stop = mq.consume_message_from_queue("q", app.dispatcher())
    try:
        eventually(lambda: ("m", "on_release") in steps(events), what="the hook")
    finally:
        stop()
        publisher.close()
        app.close()

    _, _, error, delay_s = next(event for event in events if event[1] == "on_release")
    assert isinstance(error, UnknownTaskError)
    assert delay_s == 1.0
    assert seen == [waiting.id]


def test_a_child_that_the_handler_forks_calls_no_hook(tmp_path: Any) -> None:
    marks = tmp_path / "marks"

    class Marks:
        def after_handler(self, context: Any, result: Any, error: Any) -> None:
            with marks.open("a") as file:
                file.write("after\n")

    def fork(body: Any) -> None:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)

    assert Handler(fork, [Marks()]).run({}, context()) is None

    assert marks.read_text() == "after\n"


def test_a_result_that_is_no_json_is_a_failure_to_the_hooks_too() -> None:
    events: Events = []
    handler = Handler(lambda body: {1, 2}, [Recorder("m", events)])

    failure = handler.run_for_result({}, context())

    assert isinstance(failure, Exception)
    assert events[-1] == ("m", "after_handler", None, failure)


def test_a_kept_result_is_what_the_handler_returned() -> None:
    events: Events = []

    assert Handler(lambda body: [body], [Recorder("m", events)]).run_for_result(3, context()) == b"[3]"
    assert Handler(lambda body: True, [Recorder("m", events)]).run_for_result(3, context()) == b"true"
    assert Handler(lambda body: None, [Recorder("m", events)]).run_for_result(3, context()) == b"null"
    assert [event[2] for event in events if event[1] == "after_handler"] == [[3], True, None]


def test_without_middleware_the_handler_is_called_as_ever() -> None:
    handler = Handler(print)

    assert handler.chain is None
    assert "_run" not in vars(handler)


def test_headers_travel_from_before_publish_to_the_handler(url: str, queue: str) -> None:
    seen: list[Any] = []

    class Tenant:
        def before_publish(self, publication: Any) -> None:
            publication.headers["tenant"] = "acme"

        def before_handler(self, context: Any) -> None:
            seen.append(dict(context.headers))

    with BizzMQ(url, middleware=[Tenant()]) as mq:
        mq.publish_message_to_queue(queue, 1, MessageOptions(headers={"trace": "1"}))
        mq.consume_until_empty(queue, lambda body, context: seen.append(dict(context.headers)), timeout_s=30)

    assert seen == [{"trace": "1", "tenant": "acme"}] * 2
