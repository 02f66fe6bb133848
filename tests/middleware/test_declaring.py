"""What is accepted as a middleware, and what is refused with one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from bizzmq import App, BizzMQ, ConfigurationError, Middleware, add_middleware
from bizzmq.middleware import registry
from bizzmq.middleware.checks import HOOKS
from bizzmq.middleware.optional import Library
from bizzmq.middleware.timing import Timing


class Misspelt:
    def before_handlers(self, context: Any) -> None: ...


class OfAnotherLibrary:
    def before_process_message(self, broker: Any, message: Any) -> None: ...


class TooFewParameters:
    def on_retry(self, context: Any) -> None: ...


class AsyncPublish:
    async def before_publish(self, publication: Any) -> None: ...


class Generator:
    def before_handler(self, context: Any) -> Any:
        yield


BAD = [
    (Misspelt(), "Misspelt.before_handlers is no hook of a middleware (before_publish, after_publish, before_handler"),
    (OfAnotherLibrary(), "OfAnotherLibrary.before_process_message is no hook"),
    (TooFewParameters(), "TooFewParameters.on_retry cannot be called: write it as on_retry(context, error, delay_s)"),
    (AsyncPublish(), "AsyncPublish.before_publish must not be async"),
    (Generator(), "Generator.before_handler is a generator, whose body a call does not run"),
    (Middleware, "a middleware is an object, not a class: write Middleware()"),
    (Timing, "a middleware is an object, not a class: write Timing()"),
    (print, "a middleware must be an object with some of the methods before_publish"),
    (None, "a middleware must be an object"),
    (3, "a middleware must be an object"),
    ("logging", "a middleware must be an object"),
]


@pytest.mark.parametrize(("middleware", "line"), BAD, ids=range(len(BAD)))
def test_what_is_no_middleware_is_refused_everywhere_and_nothing_is_added(middleware: Any, line: str) -> None:
    app, before = App(), list(registry.registered)
    for declare in (
        lambda: App(middleware=[middleware]),
        lambda: BizzMQ("redis://localhost:1", middleware=[middleware]),
        lambda: app.add_middleware(middleware),
        lambda: add_middleware(middleware),
    ):
        with pytest.raises(ConfigurationError) as raised:
            declare()
        assert str(raised.value).startswith(line)
        assert "\n" not in str(raised.value)
    assert registry.registered == before
    assert app._middlewares == []


@pytest.mark.parametrize("middlewares", [None, 3, "text", b"bytes", Timing(print)], ids=range(5))
def test_the_middlewares_are_a_list(middlewares: Any) -> None:
    with pytest.raises(ConfigurationError, match="middleware must be a list of middlewares"):
        App(middleware=middlewares)


def _task() -> None: ...


def test_a_middleware_cannot_be_added_to_an_app_whose_tasks_run() -> None:
    app = App()
    app.task(name="noop")(_task)
    app.dispatcher()
    with pytest.raises(ConfigurationError, match="the app's tasks run already: add its middleware where"):
        app.add_middleware(Timing(print))


def test_any_object_with_some_of_the_hooks_is_a_middleware_and_counts_once() -> None:
    class Plain:
        on_sale = True

        def _before_anything(self) -> None: ...

        def on_worker_boot(self) -> None: ...

    plain = Plain()
    app = App(middleware=[plain, plain])
    assert app.add_middleware(plain) is plain

    assert app._middlewares == [plain]


def test_every_hook_is_documented() -> None:
    assert len(HOOKS) == 10
    assert all(vars(Middleware)[name].__doc__ for name in HOOKS)


def test_a_missing_library_is_one_line_that_says_how_to_get_it() -> None:
    with pytest.raises(ConfigurationError) as raised:
        Library("no_such_library", "no-such-sdk", "Sentry").load()

    assert str(raised.value) == (
        "Sentry needs no-such-sdk: pip install no-such-sdk (No module named 'no_such_library')"
    )


@pytest.mark.parametrize("report", [None, 3, "print"])
def test_timing_needs_a_function(report: Any) -> None:
    with pytest.raises(ConfigurationError, match="Timing takes a function of a Measurement, not"):
        Timing(report)
