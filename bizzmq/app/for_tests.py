"""What an app offers to tests: run its tasks in the test's own process, and see what was published."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Sequence, cast

from bizzmq.app.in_tests.app_in_test import AppInTest
from bizzmq.app.in_tests.caller_handler import outside_loop
from bizzmq.app.in_tests.idle_run import IdleRun, Limits, move_clock
from bizzmq.app.in_tests.inline import MAX_RUNS, InlineClient
from bizzmq.app.in_tests.recording import RecordingClient, WatchingClient
from bizzmq.app.published import PublishedMessage, Run
from bizzmq.client import BizzMQ
from bizzmq.errors import BizzMQError
from bizzmq.validation import checks

if TYPE_CHECKING:
    from bizzmq.aio.client import AsyncBizzMQ


class AppForTests:
    """The methods of an app that are for tests. All of them work for the whole process, in every thread."""

    _double: BizzMQ | None = None
    """Stands in for the client in a test."""
    _redis_url: str | None
    _async_client: AsyncBizzMQ | None
    _in_use: Dict[str, bool]

    def _client_options(self) -> Mapping[str, Any]:
        """What a client of the app is made with, beside its URL."""
        raise NotImplementedError  # the app knows its options

    @contextmanager
    def testing(self, redis_url: str) -> Iterator[List[PublishedMessage]]:
        """Connect the app to another server for the time of a test: `with app.testing(url) as published:`.

        What the test changes in the app ends with it: hooks, tasks, queues, middleware, and `app.state`. `apublish`
        blocks here as `publish` does, so that both are recorded; `app.aclient` is as ever.

        Returns:
            The list of what is published, which grows.

        Raises:
            ConfigurationError, BrokerUnavailableError
        """
        published: List[PublishedMessage] = []
        client = WatchingClient(redis_url, published, **self._client_options())
        saved, url, async_client = _saved(self), self._redis_url, self._async_client
        try:
            with self._standing_in(client):
                self._redis_url, self._async_client = redis_url, None
                yield published
        finally:
            used, self._async_client, self._redis_url = self._async_client, async_client, url
            if used is not None:
                outside_loop(lambda: asyncio.run(used.close()))
            client.close()
            _restore(self, saved)

    @contextmanager
    def inline(self, *, reraise: bool = False, max_runs: int = MAX_RUNS) -> Iterator[InlineClient]:
        """Run each message at once when it is published, in this process and without Redis: `with app.inline():`.

        Arguments become JSON and come back, middleware runs, and failures are retried up to `max_retries`, all as in a
        worker; delays, also those before retries, are skipped. What a task publishes runs once that task has ended.
        Time limits do not apply, and hooks of workers are not called. Plain messages are recorded only.

        Args:
            reraise: publishing raises the error of a task that has failed for good. Else a handle's `result` shows it.
            max_runs: the most attempts that may follow from one call of publish.

        Returns:
            A value with the lists `published`, of PublishedMessage, and `runs`, of Run.

        Raises:
            ConfigurationError: an option is invalid. Publishing raises BizzMQError after `max_runs` attempts.
        """
        checks.integer("max_runs", max_runs, 1)
        client = InlineClient(cast(AppInTest, self), [], reraise=checks.flag("reraise", reraise), max_runs=max_runs)
        in_use = dict(self._in_use)
        try:
            with self._standing_in(client):
                yield client
        finally:
            client.close_handlers()
            self._in_use = in_use

    @contextmanager
    def recording(self) -> Iterator[List[PublishedMessage]]:
        """Record what is published instead of publishing it, without Redis: `with app.recording() as published:`.

        Arguments and options are checked as ever. Nothing runs.

        Returns:
            The list of what is published, which grows.
        """
        published: List[PublishedMessage] = []
        with self._standing_in(RecordingClient(published, cast(AppInTest, self).middleware)):
            yield published

    @contextmanager
    def _standing_in(self, client: BizzMQ) -> Iterator[None]:
        before = self._double
        self._double = client
        try:
            yield
        finally:
            self._double = before

    @property
    def published(self) -> Sequence[PublishedMessage]:
        """What was published since the innermost `testing`, `inline` or `recording` began.

        Raises:
            BizzMQError: there is none.
        """
        found = getattr(self._double, "published", None)
        if found is None:
            raise BizzMQError(
                "app.published records only in a test: inside app.testing, app.inline or app.recording, or with the "
                "pytest fixture bizzmq_app"
            )
        return cast(List[PublishedMessage], found)

    def run_until_idle(
        self,
        timeout_s: float | timedelta | None = 30.0,
        *,
        advance: bool = True,
        reraise: bool = False,
        max_runs: int = MAX_RUNS,
    ) -> List[Run]:
        """Run all messages of the app's queues in this thread until nothing is left, delays and retries included.

        It is a worker with a real server: queues, retries, dead letters and results are as in a pool. Time limits do
        not apply, and hooks of workers are not called. It also waits for messages that other workers hold.

        Args:
            timeout_s: seconds or a timedelta; None sets no limit. A running task is not interrupted.
            advance: move the clock to the next due time whenever only delayed messages are left. Otherwise they stay;
                see `advance_clock`.
            reraise: raise the error of the first task that fails for good.
            max_runs: the most attempts.

        Returns:
            The attempts, in the order in which they ran.

        Raises:
            TimeoutError: there is still work after `timeout_s`.
            ConfigurationError: the app has no tasks.
            BizzMQError: more than `max_runs` attempts, as of a task that publishes itself; or Redis is in trouble.
        """
        limits = Limits.checked(timeout_s, max_runs, advance=advance, reraise=reraise)
        return IdleRun(cast(AppInTest, self), limits).run()

    def advance_clock(self, seconds: float | timedelta) -> int:
        """Move the clock of the app's delayed messages forward, so that they are due as if that time had passed.

        For tests: it changes the due times of all delayed messages in the queues of the app. Redis's clock stays.

        Args:
            seconds: seconds or a timedelta.

        Returns:
            The number of messages that are due now.
        """
        return move_clock(cast(AppInTest, self), checks.seconds("seconds", seconds))


def _saved(app: Any) -> Dict[str, Any]:
    """The containers of an app with copies of their contents."""
    kinds = (list, dict, SimpleNamespace)
    return {name: (value, _content(value).copy()) for name, value in vars(app).items() if isinstance(value, kinds)}


def _restore(app: Any, saved: Dict[str, Any]) -> None:
    for name, (value, content) in saved.items():
        own = _content(value)
        own.clear()
        own.extend(content) if isinstance(own, list) else own.update(content)
        setattr(app, name, value)


def _content(value: Any) -> Any:
    return vars(value) if isinstance(value, SimpleNamespace) else value
