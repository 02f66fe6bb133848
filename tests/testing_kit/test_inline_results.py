"""Results and middleware of tasks that run inline."""

from __future__ import annotations

from typing import Any, List

import pytest

from bizzmq import App, Context, HandlerFailedError, Middleware, Reject, ResultNotKept


def test_a_handle_has_its_result_at_once(app: App) -> None:
    note, fail = app.tasks["note"], app.tasks["fail"]
    with app.inline():
        failed = fail.using(result_ttl_s=60).publish()
        handle = note.using(result_ttl_s=60).publish("a", times=3)
        unkept = note.publish("b")

        assert handle.result() == "aaa"
        with pytest.raises(HandlerFailedError, match="attempt 3") as caught:
            failed.result(timeout_s=1)
        assert (caught.value.state, caught.value.error_type) == ("dead_lettered", "ValueError")
        with pytest.raises(ResultNotKept):
            unkept.result()


def test_a_task_that_asks_for_the_result_of_another_one_gets_it() -> None:
    app, ran = App(), []

    @app.task(name="square", result_ttl_s=60)
    def square(number: int) -> int:
        ran.append(number)
        return number * number

    @app.task(name="total", result_ttl_s=60)
    def total(numbers: List[int]) -> int:
        handles = square.publish_many([(number,) for number in numbers])
        assert ran == []
        return sum(handle.result() for handle in reversed(handles))

    with app.inline():
        assert total.publish([1, 2, 3]).result() == 14
    assert ran == [3, 2, 1]


def test_a_result_that_is_no_json_fails_the_attempt() -> None:
    app = App()

    @app.task(name="unkept", result_ttl_s=60, max_retries=1)
    def unkept() -> Any:
        return object()

    with app.inline() as inline:
        unkept.publish()

    assert [run.state for run in inline.runs] == ["failed", "dead_lettered"]


def test_middleware_runs_as_in_a_worker() -> None:
    seen: List[str] = []

    class Notes(Middleware):
        def before_publish(self, publication: Any) -> None:
            publication.headers["by"] = "notes"
            seen.append("before_publish")

        def before_handler(self, context: Context) -> None:
            seen.append(f"before_handler {dict(context.headers)}")

        def on_dead_letter(self, _context: Context, error: BaseException, _record: Any) -> None:
            seen.append(f"on_dead_letter {error}")

    app = App(middleware=[Notes()])

    @app.task(name="reject")
    def reject() -> None:
        raise Reject("never")

    with app.inline() as inline:
        reject.publish()
    assert inline.published == [reject.message()]
    app.add_middleware(Notes())  # nothing of the test is left that would refuse it

    assert seen == ["before_publish", "before_handler {'by': 'notes'}", "on_dead_letter never"]
