"""Middleware in a test's own process: inline, recorded, and run until idle."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import App, Reject
from tests.middleware.recorders import Events, Recorder, steps


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def app(url: str, events: Events) -> Any:
    made = App(url, middleware=[Recorder("m", events)])

    @made.task(name="work", queue="q", max_retries=1)
    def work(what: str) -> str:
        if what == "fail":
            raise ValueError
        if what == "reject":
            raise Reject("no")
        return what

    yield made
    made.close()


SUCCESS = ["before_publish", "after_publish", "before_handler", "after_handler"]


@pytest.mark.parametrize(
    ("what", "hooks"),
    [
        ("done", SUCCESS),
        ("reject", [*SUCCESS, "on_dead_letter"]),
        ("fail", [*SUCCESS, "on_retry", "before_handler", "after_handler", "on_dead_letter"]),
    ],
)
def test_inline_calls_the_hooks_that_a_worker_would(app: App, events: Events, what: str, hooks: list[str]) -> None:
    with app.inline():
        app.tasks["work"].publish(what)

    assert steps(events) == [("m", hook) for hook in hooks]


def test_a_recorded_message_has_the_headers_of_the_middleware(app: App) -> None:
    class Header:
        def before_publish(self, publication: Any) -> None:
            publication.headers["by"] = "middleware"

    app.add_middleware(Header())
    with app.recording() as published:
        app.tasks["work"].publish("done")

    assert published[0].options.headers == {"by": "middleware"}


def test_run_until_idle_calls_the_hooks_of_a_worker(app: App, events: Events, url: str) -> None:
    with app.testing(url):
        app.tasks["work"].publish("fail")
        app.run_until_idle()

    assert [hook for _, hook in steps(events)][-5:] == [
        "after_handler", "on_retry", "before_handler", "after_handler", "on_dead_letter"
    ]  # fmt: skip


def test_middleware_that_a_test_adds_ends_with_the_test(app: App, events: Events, url: str) -> None:
    with app.testing(url):
        app.add_middleware(Recorder("added", events))
        app.tasks["work"].publish("done")
        app.run_until_idle()
    with app.testing(url):
        app.add_middleware(Recorder("again", events))
        app.tasks["work"].publish("done")
        app.run_until_idle()

    assert [name for name, hook in steps(events) if hook == "before_handler"] == ["m", "added", "m", "again"]
    assert [name for name, hook in steps(events) if hook == "before_publish"][-2:] == ["m", "again"]
