"""What a handler can be, what it receives, and what counts as failure. Without Redis, one attempt at a time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import sys
import threading
from typing import Any, AsyncIterator, Iterator

import click
import pytest

from bizzmq import ConfigurationError, Context, Reject, RetryLater
from bizzmq.consumer.handlers.handler import Handler
from tests.consumer.handler_runs import MESSAGE, context, run


def _kind(value: Any) -> str:
    """The test id of a parameter: a repr with an address would differ between processes."""
    return type(value).__name__ if type(value) is object else repr(value)


class Both:
    def method(self, body: Any, context: Context) -> Any:
        return given.append((body, context))

    def three(self, *body: Any, context: Context) -> Any:
        return given.append((body, context))

    def __call__(self, body: Any) -> Any:
        return given.append((body,))


given: list[tuple] = []


async def async_body(body: Any) -> None:
    await asyncio.sleep(0)
    given.append((body,))


async def async_both(body: Any, context: Context) -> None:
    given.append((body, context))


def third(extra: Any, body: Any, context: Context) -> None:
    given.append((body, context))


def passing_on(function: Any) -> Any:
    """A decorator as most are written."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Resource(contextlib.ContextDecorator):
    def __enter__(self) -> None:
        entered.append("enter")

    def __exit__(self, *_: object) -> None:
        entered.append("exit")


@contextlib.contextmanager
def resource() -> Iterator[None]:
    yield


@contextlib.contextmanager
def resource_of(_body: Any) -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def async_resource_of(_body: Any) -> AsyncIterator[None]:
    yield


@functools.lru_cache(maxsize=None)
def cached(body: Any) -> None:
    given.append((body,))


class Service:
    """Methods of all kinds, as `SERVICE.name` or `Service.name`."""

    def method(self, body: Any, context: Any) -> None:
        given.append((body, context))

    async def async_method(self, body: Any) -> None:
        given.append((body,))

    @staticmethod
    async def static(body: Any) -> None:
        given.append((body,))

    @classmethod
    def of_class(cls, body: Any, context: Any) -> None:
        given.append((body, context))

    @classmethod
    async def async_of_class(cls, body: Any) -> None:
        given.append((body,))

    async def __call__(self, body: Any) -> None:
        given.append((body,))

    @functools.singledispatchmethod
    def dispatched(self, body: Any) -> None:
        given.append((body,))

    @functools.lru_cache(maxsize=None)  # noqa: B019 - it is refused
    def cached(self, body: Any) -> None:
        given.append((body,))

    partial = functools.partialmethod(method, context=None)
    partial_with_context = functools.partialmethod(method)
    decorated = passing_on(method)


SERVICE = Service()


class Task:
    """A task object like those of other libraries: its own attributes, and a call that passes everything on."""

    def __init__(self, function: Any) -> None:
        functools.update_wrapper(self, function)
        self.run = function

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else RuntimeError(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


class CallsMethod:
    __call__ = SERVICE.method


@functools.singledispatch
def by_type(body: Any) -> None:
    raise AssertionError(body)


@by_type.register(dict)
async def _(body: Any) -> None:
    given.append((body,))


@Resource()
def in_a_block(body: Any) -> None:
    given.append((body,))


entered: list[str] = []
SHAPES: dict[str, tuple[Any, int]] = {
    "function": (lambda body: given.append((body,)), 1), "with context": (lambda body, c: given.append((body, c)), 2),
    "method": (Both().method, 2), "object": (Both(), 1), "async": (async_body, 1), "async both": (async_both, 2),
    "partial": (functools.partial(third, "extra"), 2), "builtin": (given.append, 0),
    "any number": (lambda *values: given.append(values), 1),
    "keyword only": (lambda body, *, _option=None: given.append((body,)), 1),
    "bound by name": (functools.partial(third, "extra", context=None), 0),
    "any names": (lambda body, **_: given.append((body,)), 1),
    "one default": (lambda body=None: given.append((body,)), 1),
    "third default": (lambda body, c, _more=None: given.append((body, c)), 2),
    "async method": (SERVICE.async_method, 1), "async static": (Service.static, 1),
    "class method": (Service.of_class, 2), "async class method": (SERVICE.async_of_class, 1),
    "async object": (SERVICE, 1),
    "partial method": (SERVICE.partial, 0), "partial method with context": (SERVICE.partial_with_context, 2),
    "decorated method": (SERVICE.decorated, 2), "partial of a method": (functools.partial(SERVICE.method), 2),
    "decorated": (passing_on(passing_on(async_both)), 2), "task": (Task(async_both), 2),
    "method as a call": (CallsMethod(), 2),
    "by type": (by_type, 1), "in a block": (in_a_block, 1), "async partial": (functools.partial(async_both), 2),
    "method caller": (operator.methodcaller("get", "body"), -1),
}  # -1: it does not record what it receives  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_a_handler_gets_the_body_and_the_context_if_it_takes_one(name: str) -> None:
    function, count = SHAPES[name]
    given.clear()

    assert run(function) is None

    if count < 0:
        return
    (arguments,) = given
    if count:
        assert len(arguments) == count
        assert arguments[0] == MESSAGE.body
        assert all(isinstance(argument, Context) for argument in arguments[1:])


@pytest.mark.parametrize("result", [None, True, False, 0, 1, "", "error", [], {}, range(3), object()], ids=_kind)
def test_a_plain_value_is_success(result: Any) -> None:
    async def later(body: Any) -> Any:
        return result

    assert run(lambda _body: result) is None
    assert run(later) is None


ERRORS = [
    ValueError("x"), SystemExit(0), SystemExit(3), KeyboardInterrupt(), BaseException("bare"), GeneratorExit(),
    asyncio.CancelledError(), RetryLater(1.0), Reject("no"), StopIteration(1), MemoryError(), RecursionError(),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_exception_is_failure_raised_or_returned(error: BaseException) -> None:
    def raising(body: Any) -> None:
        raise error

    assert run(raising) is error
    assert run(lambda _body: error) is error


@pytest.mark.parametrize("error", [error for error in ERRORS if not isinstance(error, StopIteration)], ids=repr)
def test_an_exception_of_an_async_handler_is_failure(error: BaseException) -> None:
    async def raising(body: Any) -> None:
        await asyncio.sleep(0)
        raise error

    async def returning(body: Any) -> BaseException:
        return error

    assert type(run(raising)) is type(error)
    assert run(returning) is error


def test_sys_exit_is_the_failure_of_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    handler = Handler(sys.exit)

    assert [type(handler.run(code, context())) for code in (0, "text", None)] == [SystemExit] * 3


def test_an_async_handler_works_after_a_failure_and_leaves_no_task_behind() -> None:
    ended: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def function(body: Any) -> None:
        task = asyncio.ensure_future(background())
        await asyncio.sleep(0)
        assert not task.done()
        if body == "fail":
            raise SystemExit

    handler = Handler(function)
    results = [handler.run(body, context()) for body in ("ok", "fail", "ok")]
    handler.close()

    assert [type(result) for result in results] == [type(None), SystemExit, type(None)]
    assert ended == ["cancelled"] * 3


def test_an_async_handler_runs_in_a_thread_that_is_not_the_main_one() -> None:
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(run(async_body)))

    thread.start()
    thread.join()

    assert outcome == [None]


@pytest.mark.parametrize("nothing", [None, 1, "tasks:handler", object()], ids=_kind)
def test_a_handler_must_be_callable(nothing: Any) -> None:
    with pytest.raises(ConfigurationError, match="callable"):
        Handler(nothing)


WITHOUT_ROOM: dict[str, Any] = {
    "nothing": lambda: None, "three": lambda _a, _b, _c: None, "a name in a method": Both().three,
    "keyword only": lambda *, body: body, "one keyword too many": lambda body, *, name: (body, name),
    "partial": functools.partial(third, "extra", body=1), "class": Both, "any keywords": lambda **values: values,
    "method of a class": Service.async_method, "decorated method of a class": Service.decorated,
    "method by type": SERVICE.dispatched, "partial class": functools.partial(Both), "cache": cached,
    "cached method": SERVICE.cached, "context manager": resource_of, "async context manager": async_resource_of,
    "async in a block": Resource()(async_body), "async in a generator's block": resource()(async_body),
    "click": click.Command("name"), "click group": click.Group("name"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_ROOM)
def test_a_handler_must_accept_one_argument(name: str) -> None:
    with pytest.raises(ConfigurationError, match="the handler cannot take a message") as refused:
        Handler(WITHOUT_ROOM[name])

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("builtin", [max, min, print], ids=_kind)
def test_a_builtin_without_a_signature_is_a_handler(builtin: Any) -> None:
    Handler(builtin).close()


class Proxy:
    """A lazy proxy that is not bound yet."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"not bound yet: {name}")

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("not bound yet")

    def __call__(self, _body: Any) -> None:
        called.append("proxy")


class Static:
    __call__ = staticmethod(lambda body, *_more: called.append(body))


class StaticWithContext:
    @staticmethod
    def __call__(body: Any, context: Context) -> None:
        called.append((body, context.queue))


called: list[Any] = []


def test_objects_that_resist_inspection_are_called() -> None:
    called.clear()

    assert [run(one) for one in (Proxy(), Static(), StaticWithContext())] == [None] * 3

    assert called == ["proxy", MESSAGE.body, (MESSAGE.body, MESSAGE.queue)]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="an async context manager is a decorator since CPython 3.10")
def test_an_async_decorator_around_a_plain_function_is_refused() -> None:
    """It would run the body and then fail to await the result."""

    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[None]:
        yield

    decorate: Any = around()

    assert run(decorate(async_body)) is None
    with pytest.raises(ConfigurationError, match="async context manager"):
        Handler(decorate(given.append))
