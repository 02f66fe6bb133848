"""A handler that never ran, or that returned its failure, never counts as a success."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import multiprocessing
import threading
import types
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any, Callable, Iterator

import pytest

from bizzmq import BizzMQ, ConfigurationError, HandlerResultError, QueueOptions
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.testing.wait import eventually
from bizzmq.workers.config import WorkerConfig
from tests.consumer.handler_runs import MESSAGE, context, run

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def lazy(_body: Any) -> Iterator[None]:
    ran.append("lazy")
    yield


async def lazy_async(_body: Any) -> Any:
    ran.append("lazy")
    yield


async def later(_body: Any) -> None:
    await asyncio.sleep(0)
    ran.append("later")


async def failing_later(_body: Any) -> None:
    await asyncio.sleep(0)
    raise ValueError("later")


class Lazy:
    def __call__(self, _body: Any) -> Iterator[None]:
        yield

    def method(self, _body: Any) -> Iterator[None]:
        yield

    @staticmethod
    def static(_body: Any) -> Iterator[None]:
        yield

    @classmethod
    async def of_class(cls, _body: Any) -> Any:
        yield


class Calls:
    __call__ = functools.partial(lazy)


class Kept:
    def __init__(self, body: Any) -> None:
        ran.append(body)

    @classmethod
    def handle(cls, body: Any) -> None:
        cls(body)


POOL: ThreadPool


@pytest.fixture(scope="module", autouse=True)
def thread_pool() -> Iterator[None]:
    global POOL
    with ThreadPool(1) as POOL:
        yield


RUNS_NOTHING: dict[str, Any] = {
    "generator": lazy, "async generator": lazy_async, "class": Kept, "builtin class": dict, "exception": ValueError,
    "partial": functools.partial(lazy), "partial of a partial": functools.partial(functools.partial(lazy_async)),
    "partial of a class": functools.partial(Kept), "method": Lazy().method, "static": Lazy.static,
    "static of an object": Lazy().static, "of the class": Lazy.of_class, "object": Lazy(), "object by partial": Calls(),
    "generator expression in a lambda": lambda _body: (yield),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS_NOTHING)
def test_a_callable_whose_call_does_not_run_its_body_is_refused(name: str) -> None:
    for take in (Handler, lambda function: WorkerConfig(handler=function)):
        with pytest.raises(ConfigurationError, match="the handler cannot take a message: it is a") as refused:
            take(RUNS_NOTHING[name])
        assert "\n" not in str(refused.value)


def test_the_in_process_consumer_refuses_it_at_once(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        with pytest.raises(ConfigurationError, match="generator function"):
            mq.consume_message_from_queue("q", lazy)


def exhausting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(body: Any) -> None:
        for _ in function(body):
            pass

    return wrapper


def test_a_generator_is_a_handler_with_a_decorator_that_runs_it() -> None:
    assert run(exhausting(lazy)) is None
    assert ran == ["lazy"]


def test_a_class_method_a_types_coroutine_and_an_exhausted_generator_are_accepted() -> None:
    @types.coroutine
    def old_coroutine(_body: Any) -> Any:
        yield from asyncio.sleep(0).__await__()
        ran.append("old")

    def used_up(body: Any) -> Any:
        generator = lazy(body)
        list(generator)
        return generator

    assert [run(Kept.handle), run(old_coroutine), run(used_up)] == [None] * 3
    assert ran == [MESSAGE.body, "old", "lazy"]


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


def half_used(body: Any) -> Any:
    generator = (part for part in [1, 2])
    next(generator)
    return generator


NOT_DONE: dict[str, tuple[Any, str]] = {
    "generator of a lambda": (lambda body: (lazy)(body or 1), "a generator"),
    "generator of a decorator": (decorated(lazy), "a generator"),
    "async generator of a decorator": (decorated(lazy_async), "an async generator"),
    "generator that has begun": (half_used, "a generator"),
    "function": (lambda _body: lazy, "lazy"), "coroutine function": (lambda _body: later, "later"),
    "lambda": (lambda _body: lambda: None, "lambda"), "method": (lambda _body: Lazy().method, "Lazy.method"),
    "builtin": (lambda _body: print, "print"), "class": (lambda _body: Kept, "Kept"),
    "partial": (lambda body: functools.partial(later, body), "partial"), "object": (lambda _body: Lazy(), "Lazy"),
    "map": (lambda body: map(print, [body]), "a map object"),
    "filter": (lambda body: filter(print, [body]), "a filter object"),
    "context manager": (decorated(contextlib.contextmanager(lazy)), "a context manager"),
    "starmap": (lambda body: itertools.starmap(print, [(body,)]), "a starmap object"),
    "chain": (lambda body: itertools.chain(map(print, [body])), "a chain object"),
    "islice": (lambda body: itertools.islice(map(print, [body]), 1), "an islice object"),
    "zip": (lambda body: zip(map(print, [body])), "a zip object"),
    "enumerate": (lambda body: enumerate(map(print, [body])), "an enumerate object"),
    "imap": (lambda body: POOL.imap(print, [body]), "an IMapIterator object"),
    "imap_unordered": (lambda body: POOL.imap_unordered(print, [body]), "an IMapUnorderedIterator object"),
    "thread": (lambda _body: threading.Thread(target=print), "a Thread that was never started"),
    "process": (lambda _body: multiprocessing.Process(target=print), "a Process that was never started"),
    "list of coroutines": (lambda body: [later(body), later(body)], "a list with an awaitable that is not awaited"),
    "dict of coroutines": (lambda body: {"a": later(body)}, "a dict with an awaitable that is not awaited"),
    "set of coroutines": (lambda body: {later(body)}, "a set with an awaitable that is not awaited"),
    "tuple with a generator": (lambda body: (lazy(body), 200), "a tuple with a generator"),
    "list with a map": (lambda body: [1, map(print, [body])], "a list with a map object"),
    "list of futures": (lambda _body: [1, Future()], "a list with a Future that is not done yet"),
    "list of results": (lambda body: [POOL.apply_async(str, (body,))], "a list with an object of type ApplyResult"),
    "async context manager": (decorated(contextlib.asynccontextmanager(lazy_async)), "a context manager"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_DONE)
def test_a_result_that_was_never_run_is_a_failure_with_the_reason(name: str) -> None:
    function, reported = NOT_DONE[name]

    async def returning(body: Any) -> Any:
        return function(body)

    for error in (run(function), run(returning)):
        assert isinstance(error, HandlerResultError)
        assert reported in str(error)
        assert "\n" not in str(error)
    assert not ran


def test_a_list_of_tasks_that_were_not_awaited_is_a_failure() -> None:
    async def tasks(body: Any) -> Any:
        return [asyncio.create_task(later(body)), asyncio.create_task(later(body))]

    error = run(tasks)

    assert isinstance(error, HandlerResultError)
    assert "a list with a Task that is not done yet: wait for it in the handler" in str(error)


def test_a_failed_future_in_a_list_fails_the_message() -> None:
    good: Future[int] = Future()
    good.set_result(1)
    bad: Future[int] = Future()
    bad.set_exception(ValueError("in the thread"))
    cancelled: Future[int] = Future()
    cancelled.cancel()

    assert run(lambda _body: [good, good]) is None
    assert str(run(lambda _body: (good, bad))) == "in the thread"
    assert isinstance(run(lambda _body: {"a": cancelled}), (CancelledError, asyncio.CancelledError))


DATA: list[Any] = [
    [], [1, "a", None], {"a": [1]}, (1, {2}), [len, dict], [object()], {"f": print}, frozenset({1}), [[lambda: 1]],
    "text", b"bytes", 0, range(3), iter([1]), [*range(10_000)],
]  # fmt: skip


@pytest.mark.parametrize("result", DATA, ids=lambda value: repr(value)[:20])
def test_returned_data_is_a_success(result: Any) -> None:
    assert run(lambda _body: result) is None


def test_an_awaitable_from_any_source_is_awaited() -> None:
    async def nested(body: Any) -> Any:
        return later(body)

    async def task(body: Any) -> Any:
        return asyncio.create_task(later(body))

    handlers = [nested, task, decorated(later), functools.partial(later), lambda body: nested(body or 1)]
    assert [run(function) for function in handlers] == [None] * 5
    assert ran == ["later"] * 5


def test_a_failed_nested_awaitable_fails_the_message() -> None:
    async def nested(body: Any) -> Any:
        return failing_later(body)

    async def task(body: Any) -> Any:
        return asyncio.ensure_future(failing_later(body))

    assert [str(run(function)) for function in (nested, task)] == ["later"] * 2


@pytest.mark.parametrize("kind", ["future", "task"])
def test_a_future_of_another_loop_is_a_failure_with_advice(kind: str) -> None:
    loop = asyncio.new_event_loop()
    left = loop.create_future() if kind == "future" else loop.create_task(asyncio.sleep(0))

    error = run(lambda _body: left)

    assert isinstance(error, HandlerResultError)
    assert "of another event loop" in str(error)
    left.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_future_of_a_thread_is_awaited_and_its_failure_fails_the_message(is_async: bool) -> None:
    def asynchronous(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def returning(body: Any) -> Any:
            return function(body)

        return returning if is_async else function

    def slow(body: Any) -> None:
        threading.Event().wait(0.05)
        ran.append("slow")
        if body is None:
            raise ValueError("in the thread")

    with ThreadPoolExecutor(1) as executor, ThreadPool(1) as pool:
        assert run(asynchronous(lambda body: executor.submit(slow, body))) is None
        assert run(asynchronous(lambda body: pool.apply_async(slow, (body,)))) is None
        assert len(ran) == 2
        assert str(run(asynchronous(lambda _body: executor.submit(slow, None)))) == "in the thread"
        assert str(run(asynchronous(lambda _body: pool.apply_async(slow, (None,))))) == "in the thread"
        assert isinstance(run(asynchronous(lambda _body: executor.submit(lambda: lazy))), HandlerResultError)
        assert run(asynchronous(lambda body: executor.submit(later, body))) is None
        assert ran[-1] == "later"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), StopIteration(2), KeyboardInterrupt()], ids=repr)
def test_any_exception_of_a_future_is_a_failure(error: BaseException, is_async: bool) -> None:
    future: Future[None] = Future()
    threading.Timer(0.02, future.set_exception, [error]).start()

    async def returning(_body: Any) -> Any:
        return future

    failure = run(returning if is_async else lambda _body: future)

    assert failure is not None
    assert failure is error or isinstance(failure, RuntimeError) or type(failure) is type(error)


def test_a_cancelled_future_is_a_failure() -> None:
    future: Future[None] = Future()
    future.cancel()
    assert isinstance(run(lambda _body: future), (CancelledError, asyncio.CancelledError))


def test_the_handlers_own_loop_runs_while_a_future_is_awaited() -> None:
    async def returning(body: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(later(body), asyncio.get_running_loop())

    assert run(returning) is None
    assert ran == ["later"]


def test_none_and_true_are_accepted_without_further_checks() -> None:
    handler = Handler(lambda body: body)
    assert [handler.run(body, context()) for body in (None, True)] == [None, None]


def test_a_lost_result_is_a_dead_letter_of_the_in_process_consumer(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q", QueueOptions(max_retries=0, config_dead_letter_queue=True))
        stop = mq.consume_message_from_queue("q", decorated(lazy))
        mq.publish_message_to_queue("q", {})
        eventually(lambda: mq.stats("q").dead_lettered == 1, 30, "the dead letter")
        assert mq.stats("q").acked == 0
        stop()
