"""Inside `app.inline()`, publishing runs the task at once and without Redis."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import multiprocessing
import threading
from typing import Any, List, Tuple

import pytest

from bizzmq import App, ArgumentsError, BizzMQError, ConfigurationError, EncodeError, MessageOptions, QueueOptions
from bizzmq.app.published import Run

marked: contextvars.ContextVar[str] = contextvars.ContextVar("marked", default="")


def states(runs: List[Run]) -> List[Tuple[str, str]]:
    return [(run.task, run.state) for run in runs]


def test_publishing_runs_the_task_before_it_returns(app: App) -> None:
    with app.inline() as inline:
        app.tasks["note"].publish("hello")
        assert app.state.ran == ["hello"]
        assert inline.published == [app.tasks["note"].message("hello")]
        assert states(inline.runs) == [("note", "succeeded")]


def test_many_messages_run_in_order(app: App) -> None:
    with app.inline():
        handles = app.tasks["note"].publish_many([("a",), {"text": "b"}, ("c", 2)])

    assert app.state.ran == ["a", "b", "c"]
    assert len({handle.id for handle in handles}) == 3


def test_arguments_arrive_as_json_makes_them_and_not_as_the_same_objects() -> None:
    app = App()
    seen: List[Any] = []

    @app.task(name="keep")
    def keep(value: Any) -> None:
        seen.append(value)
        value.append("changed by the task")

    with app.inline() as inline:
        given = ["a", {"b": [1.5, None]}]
        keep.publish(given)

        assert given == ["a", {"b": [1.5, None]}]
        assert seen == [[*given, "changed by the task"]]
        assert inline.runs[0].arguments == inline.published[0].arguments == {"value": given}


def test_what_json_cannot_express_is_refused_and_nothing_runs(app: App) -> None:
    with app.inline() as inline:
        with pytest.raises((EncodeError, ArgumentsError)):
            app.tasks["note"].publish_many([("a",), (object(),)])
        with pytest.raises(ArgumentsError):
            app.tasks["note"].publish("a", wrong=1)
        assert app.state.ran == inline.published == inline.runs == []


def test_a_failure_is_retried_at_once_and_the_delays_are_only_noted(app: App) -> None:
    with app.inline() as inline:
        app.tasks["fail"].publish(1)

    assert [(run.state, run.delivery, run.delay_s) for run in inline.runs] == [
        ("failed", 1, 3600), ("failed", 2, 7200), ("succeeded", 3, None),
    ]  # fmt: skip


def test_retries_end_and_the_message_is_dead_lettered(app: App) -> None:
    with app.inline() as inline:
        app.tasks["fail"].publish()
        app.tasks["reject"].publish()

    assert states(inline.runs) == [
        ("fail", "failed"), ("fail", "failed"), ("fail", "dead_lettered"), ("reject", "dead_lettered"),
    ]  # fmt: skip
    assert str(inline.runs[2].error) == "attempt 3"


def test_a_queue_without_a_dead_letter_queue_discards(app: App) -> None:
    app.queue("default", QueueOptions(max_retries=0))
    with app.inline() as inline:
        app.tasks["reject"].publish()

    assert states(inline.runs) == [("reject", "discarded")]


def test_options_of_one_message_come_first(app: App) -> None:
    with app.inline() as inline:
        app.tasks["fail"].using(max_retries=0, delay_s=86400).publish()

    assert states(inline.runs) == [("fail", "dead_lettered")]
    assert inline.published[0].options.delay_s == 86400


def test_retries_end_when_the_skipped_delays_are_longer_than_the_time_for_retries() -> None:
    app = App()

    @app.task(name="old", max_retries=9, retry_delays_s=[100], retry_for_s=250)
    def old() -> None:
        raise ValueError

    with app.inline() as inline:
        old.publish()

    assert [run.state for run in inline.runs] == ["failed", "failed", "failed", "dead_lettered"]


def test_reraise_raises_the_error_of_the_task_after_its_last_retry(app: App) -> None:
    with app.inline(reraise=True) as inline, pytest.raises(ValueError, match="attempt 3") as caught:
        app.tasks["fail"].publish()

    assert caught.traceback[-1].name == "fail"
    assert len(inline.runs) == 3


def test_a_failure_is_logged_with_its_traceback(app: App, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bizzmq"), app.inline():
        app.tasks["reject"].publish()

    assert "a task has failed" in caplog.text
    assert "raise Reject" in caplog.text


def test_what_a_task_publishes_runs_once_that_task_has_ended(app: App) -> None:
    with app.inline():
        app.tasks["parent"].publish(1)

    assert app.state.ran == ["parent 1, delivery 1", "end of 1", "parent 0, delivery 1", "end of 0"]


def test_a_long_chain_of_tasks_needs_no_stack(app: App) -> None:
    with app.inline():
        app.tasks["parent"].publish(900)

    assert app.state.ran[-1] == "end of 0"


def test_a_task_that_publishes_itself_for_ever_ends_with_an_error_that_names_it(app: App) -> None:
    with app.inline(max_runs=50) as inline:
        with pytest.raises(BizzMQError, match=r"50 attempts have run and there is still work.*endless"):
            app.tasks["endless"].publish()
        assert len(inline.runs) == 50

        app.tasks["note"].publish("still usable")
        assert app.state.ran == ["still usable"]


def test_a_coroutine_runs_to_its_end(app: App) -> None:
    with app.inline() as inline:
        app.tasks["coroutine"].publish("a")
        app.tasks["coroutine"].publish("b")

    assert app.state.ran == ["a", "b"]
    assert states(inline.runs) == [("coroutine", "succeeded")] * 2


def test_a_coroutine_runs_also_while_the_test_itself_is_in_an_event_loop(app: App) -> None:
    async def test() -> None:
        app.tasks["coroutine"].publish("async")
        app.tasks["note"].publish("sync")

    with app.inline() as inline:
        asyncio.run(test())

    assert app.state.ran == ["async", "sync"]
    assert [run.state for run in inline.runs] == ["succeeded"] * 2


def test_plain_tasks_run_in_the_thread_of_the_test_also_in_an_event_loop() -> None:
    app, threads = App(), []

    @app.task(name="where")
    def where() -> None:
        threads.append(threading.current_thread())

    async def test() -> None:
        where.publish()

    with app.inline():
        asyncio.run(test())

    assert threads == [threading.current_thread()]


def test_publishing_in_other_threads_is_inline_too(app: App) -> None:
    with app.inline() as inline:
        threads = [threading.Thread(target=app.tasks["note"].publish, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(app.state.ran) == [str(n) for n in range(8)]
        assert len(inline.runs) == 8


def test_context_variables_of_a_task_do_not_leak_into_the_test() -> None:
    app, seen = App(), []

    @app.task(name="mark")
    def mark() -> None:
        seen.append(marked.get())
        marked.set("by the task")

    marked.set("by the test")
    with app.inline():
        mark.publish()

    assert (seen, marked.get()) == (["by the test"], "by the test")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, pytest.fail.Exception])
def test_an_error_for_the_test_itself_ends_the_test(app: App, stop: type) -> None:
    app.state.error = stop("now")
    with app.inline() as inline:
        with pytest.raises(stop):
            app.tasks["raise_error"].publish()
        assert inline.runs == []


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError(), AssertionError("no")])
def test_any_other_error_is_the_failure_of_its_message(app: App, error: BaseException) -> None:
    app.state.error = error
    with app.inline() as inline:
        app.tasks["raise_error"].using(max_retries=0).publish()

    assert (inline.runs[0].state, inline.runs[0].error) == ("dead_lettered", error)


def test_a_plain_message_is_recorded_and_nothing_runs(app: App) -> None:
    with app.inline() as inline:
        app.client.create_queue("plain", QueueOptions())
        message_id = app.client.publish_message_to_queue("plain", {"a": 1}, MessageOptions(priority=3))

        (published,) = inline.published
        assert (published.task, published.arguments, published.queue) == ("", {"a": 1}, "plain")
        assert (published.id, published.options.priority, inline.runs) == (message_id, 3, [])


def test_what_needs_a_server_says_so(app: App) -> None:
    with app.inline():
        with pytest.raises(BizzMQError, match=r"inside app\.inline\(\) the app has no server"):
            app.client.stats("default")
        with pytest.raises(BizzMQError, match="no server"):
            app.client.consume_message_from_queue("default", print)


def test_an_app_that_is_closed_inside_stays_inline(app: App) -> None:
    with app.inline():
        app.client.close()
        app.close()
        app.tasks["note"].publish("a")

    assert app.state.ran == ["a"]


def test_the_innermost_block_counts_and_the_outer_one_goes_on_after_it(app: App) -> None:
    note = app.tasks["note"]
    with app.inline() as outer:
        with app.recording() as inner:
            note.publish("not run")
        note.publish("run")
        assert app.published == outer.published == [note.message("run")]

    assert inner == [note.message("not run")]
    assert app.state.ran == ["run"]


def test_an_error_in_the_block_ends_it(app: App) -> None:
    with pytest.raises(ZeroDivisionError), app.inline():
        raise ZeroDivisionError

    with pytest.raises(BizzMQError, match="records only in a test"):
        _ = app.published


def test_a_forked_child_goes_on_inline(app: App) -> None:
    with app.inline() as inline:
        app.tasks["note"].publish("parent")
        child = multiprocessing.get_context("fork").Process(target=_publish_in_child, args=(app,))
        child.start()
        child.join()

    assert (child.exitcode, len(inline.runs)) == (0, 1)


def _publish_in_child(app: App) -> None:
    app.tasks["note"].publish("child")
    assert app.state.ran == ["parent", "child"]


@pytest.mark.parametrize("bad", [{"max_runs": 0}, {"max_runs": True}, {"max_runs": "9"}, {"reraise": "x"}])
def test_invalid_options_are_refused(app: App, bad: Any) -> None:
    with pytest.raises(ConfigurationError), app.inline(**bad):
        pytest.fail("never")


def test_a_task_that_is_declared_inside_the_block_runs(app: App) -> None:
    with app.inline() as inline:
        app.tasks["note"].publish("first")

        @app.task(name="late")
        def late() -> None: ...

        late.publish()

    assert states(inline.runs) == [("note", "succeeded"), ("late", "succeeded")]
