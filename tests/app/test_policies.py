"""What a message of a task does when it fails: which option decides, also for a worker that was killed at a limit."""

from __future__ import annotations

import itertools
import json
import os
import signal
from typing import Any, Callable

import pytest

from bizzmq import App, BizzMQ, Context, MessageTimeout, QueueOptions
from bizzmq.app.description import AppDescription, limits_refused_by
from bizzmq.failure_policy import FailurePolicy
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from tests.app.app_programs import Code, _write, code, published
from tests.app.test_deploys import DEFAULT, counts

__all__ = ["code"]

SOON_S = 40.0
FAILS = """
    from bizzmq import App

    app = App()

    @app.task(name="work"{options})
    def work() -> None:
        raise ValueError("no")
"""
SWALLOWS = """
    import time

    from bizzmq import App, MessageTimeout, CpuTimeExceeded, QueueOptions

    app = App({app})

    @app.task(name="work", timeout_s=0.3{options})
    def work() -> None:
        print("runs", flush=True)
        while True:
            try:
                time.sleep(60)
            except MessageTimeout:
                pass
"""
LAYERS = ("using", "task", "queue", "app")
DEFAULTS = {"max_retries": 3, "timeout_s": None}


def _layered(url: str, mq: BizzMQ, option: str, layers: tuple[str, ...], function: Callable[..., None]) -> App:
    """An app whose task has this option set on some layers, to 1 on the first one, 2 on the next, and so on."""
    value = {layer: index + 1 for index, layer in enumerate(LAYERS) if layer in layers}
    given: dict[str, Any] = {option: value["app"]} if "app" in value else {}
    app = App(url, **given)
    own: dict[str, Any] = {option: value["task"]} if "task" in value else {}
    task = app.task(name="work", queue="q", **own)(function)
    if "queue" in value:
        mq.create_queue("q", QueueOptions(True, retry_backoff_s=0, **{option: value["queue"]}))
    sent: dict[str, Any] = {option: value["using"]} if "using" in value else {}
    task.using(**sent).publish()
    return app


@pytest.mark.usually(11, every=3)
@pytest.mark.parametrize(
    "layers", [layers for count in range(5) for layers in itertools.combinations(LAYERS, count)], ids="-".join
)
@pytest.mark.parametrize("option", ["max_retries", "timeout_s"])
def test_the_first_layer_that_says_something_decides(
    url: str, mq: BizzMQ, option: str, layers: tuple[str, ...]
) -> None:
    seen: list[Any] = []

    def work(context: Context) -> None:
        seen.append(context.timeout_s)
        if option == "max_retries":
            raise ValueError

    app = _layered(url, mq, option, layers, work)
    stop = mq.consume_message_from_queue("q", app.dispatcher())
    try:
        eventually(lambda: counts(url, "q").acked + counts(url, "q").dead_lettered == 1, SOON_S)
    finally:
        stop()
        app.close()

    expected = LAYERS.index(layers[0]) + 1 if layers else DEFAULTS[option]
    assert (counts(url, "q").retried if option == "max_retries" else seen[0]) == expected


def test_new_options_apply_to_messages_that_wait_already(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    published(code(FAILS.format(options=", max_retries=9")), url, "tasks.work.publish()")

    pool = pool_factory(url, cwd=code(FAILS.format(options=", max_retries=1, retry_delays_s=[0.01]")), **DEFAULT)

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == 1


@pytest.mark.usually(3, every=3)
@pytest.mark.parametrize("preload", ["on", "off"])
@pytest.mark.parametrize(
    ("app", "options", "retried"),
    [
        ("", ", max_retries=0", 0),
        ("", ", max_retries=2, retry_delays_s=[0.01, 0.02]", 2),
        ("max_retries=1", ", retry_delays_s=[0.01]", 1),
        ("", ", dead_letter_on=MessageTimeout", 0),
        ("", ", retry_on=(ValueError, CpuTimeExceeded)", 0),
        ("retry_on=ValueError", "", 0),
        ("", ", retry_for_s=0", 0),
        ("dead_letter_on=CpuTimeExceeded", ", max_retries=1, retry_delays_s=[0.01]", 1),
    ],
)
def test_the_policy_of_the_task_decides_after_a_kill_at_a_limit(
    url: str, pool_factory: Callable[..., Pool], code: Code, preload: str, app: str, options: str, retried: int
) -> None:
    directory = code(SWALLOWS.format(app=app, options=options))
    published(directory, url, "tasks.work.publish()")

    pool = pool_factory(url, cwd=directory, args=["--timeout-grace=0.1", f"--preload={preload}"], **DEFAULT)

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == retried
    # The janitor writes these lines after Redis has counted.
    eventually(lambda: pool.log().count("message failed, will be retried") == retried, SOON_S, pool.log)
    eventually(lambda: "MessageTimeout: the worker" in pool.log(), SOON_S, pool.log)
    assert "delay_s=0.01" in pool.log() or not retried


def test_a_message_decides_before_its_task_after_a_kill_at_a_limit(
    url: str, pool_factory: Callable[..., Pool], code: Code
) -> None:
    directory = code(SWALLOWS.format(app="", options=", max_retries=5, retry_delays_s=[0.01]"))
    published(directory, url, "tasks.work.using(max_retries=1).publish()")

    pool = pool_factory(url, cwd=directory, args=["--timeout-grace=0.1"], **DEFAULT)

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == 1


def test_waits_that_are_a_function_are_the_back_off_of_the_queue_after_a_kill(
    url: str, mq: BizzMQ, pool_factory: Callable[..., Pool], code: Code
) -> None:
    mq.create_queue("default", QueueOptions(True, retry_backoff_s=0))
    directory = code(SWALLOWS.format(app="", options=", max_retries=1, retry_delays_s=lambda count, error: 3600"))
    published(directory, url, "tasks.work.publish()")

    pool = pool_factory(url, cwd=directory, args=["--timeout-grace=0.1"], **DEFAULT)

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == 1


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_reload_brings_the_policy_for_kills_at_a_limit(
    url: str, pool_factory: Callable[..., Pool], code: Code, preload: str
) -> None:
    directory = code(SWALLOWS.format(app="", options=", max_retries=0"))
    pool = pool_factory(url, cwd=directory, args=["--timeout-grace=0.1", f"--preload={preload}"], **DEFAULT)
    pool.wait_ready()
    _write(directory / "tasks.py", SWALLOWS.format(app="", options=", max_retries=1, retry_delays_s=[0.01]"))

    pool.signal(signal.SIGHUP)
    eventually(lambda: pool.log().count("worker ready") >= 2, SOON_S, pool.log)
    published(directory, url, "tasks.work.publish()")

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == 1


def test_a_janitor_that_was_replaced_knows_the_policy(url: str, pool_factory: Callable[..., Pool], code: Code) -> None:
    directory = code(SWALLOWS.format(app="", options=", max_retries=0"))
    pool = pool_factory(url, cwd=directory, args=["--timeout-grace=0.1"], **DEFAULT)
    pool.wait_ready()
    first = pool.janitor_pid()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: pool.janitor_pid() != first, SOON_S, pool.log)

    published(directory, url, "tasks.work.publish()")

    eventually(lambda: counts(url).dead_lettered == 1, SOON_S, pool.log)
    assert counts(url).retried == 0


def test_a_description_survives_json() -> None:
    app = App(max_retries=4, retry_on=(MessageTimeout,))
    app.queue("q", QueueOptions(max_retries=7, timeout_s=3))
    app.task(name="work", queue="q", retry_delays_s=[1, 2], aliases=("old",), timeout_s=9)(_work)
    described = app.dispatcher().describe()

    read = AppDescription.of_data(json.loads(json.dumps(described)))

    assert read.options_of("q") == QueueOptions(max_retries=7, timeout_s=3)
    assert read.options_of("other") is None
    assert read.policy == FailurePolicy(max_retries=4)
    assert read.policy_of("old") == read.policy_of("work")
    assert read.policy_of("work").retry_delays_s == (1.0, 2.0)
    assert read.policy_of("unknown") == FailurePolicy()
    assert read.tasks[0].signature == "(path: 'str', width: 'int' = 200) -> 'None'"


def test_the_address_of_an_app_is_not_in_the_text_of_its_description() -> None:
    app = App("redis://:secret@localhost")
    app.task(name="work")(_work)

    assert "secret" not in repr(AppDescription.of_data(app.dispatcher().describe()))


def _work(context: Context, path: str, width: int = 200) -> None:
    pass


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        (FailurePolicy(), ()),
        (FailurePolicy(dead_letter_on=MessageTimeout), ("CpuTimeExceeded", "MessageTimeout")),  # a subclass of it
        (FailurePolicy(retry_on=MessageTimeout), ("MemoryLimitExceeded",)),
        (FailurePolicy(retry_on=ValueError), ("CpuTimeExceeded", "MemoryLimitExceeded", "MessageTimeout")),
        (FailurePolicy(retry_on=Exception, dead_letter_on=OSError), ()),
    ],
)
def test_the_limits_that_a_policy_does_not_retry_after(policy: FailurePolicy, refused: tuple[str, ...]) -> None:
    assert limits_refused_by(policy) == refused
