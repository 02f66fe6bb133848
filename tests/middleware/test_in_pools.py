"""Middleware in real pools: the life of a worker, limits, and crashes that the next worker reports."""

from __future__ import annotations

import json
import os
import signal
from typing import Any, Mapping

import pytest

from bizzmq import App
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

APP = """
import ctypes, dataclasses, json, os, resource, signal, sys, threading, time
import bizzmq

class Says(bizzmq.Middleware):
    def on_worker_boot(self):
        say("boot", os.getpid())
    def on_worker_shutdown(self):
        say("shutdown", os.getpid())
    def on_worker_crash(self, crash):
        say("crash", json.dumps({**dataclasses.asdict(crash), "seen_by": os.getpid()}))
    def before_publish(self, publication):
        publication.headers["from"] = "publisher"
    def before_handler(self, context):
        say("before", os.getpid(), context.delivery)
    def after_handler(self, context, result, error):
        say("after", os.getpid(), type(error).__name__)
    def on_retry(self, context, error, delay_s):
        say("retry", type(error).__name__, delay_s)

app = bizzmq.App(middleware=[Says()])

def die(how):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if how == "segv":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(7)
    if how == "fill":
        os.kill(os.getpid(), signal.SIGSTOP) if sys.platform == "darwin" else None
        hoard = []
        while True:
            hoard.append(bytearray(10_000_000))
            time.sleep(0.001)
    os.kill(os.getpid(), getattr(signal, how))

@app.task(name="fragile", queue="q")
def fragile(context: bizzmq.Context, how: str, deliveries: int = 1) -> None:
    if context.delivery <= deliveries and how != "nothing":
        if how == "hang":
            while True:
                try:
                    time.sleep(60)
                except bizzmq.MessageTimeout:
                    pass
        die(how)
"""


def said(home: Home, word: str) -> list[str]:
    return [line.partition(" ")[2] for line in home.lines() if line.split(" ")[0] == word]


def crashes(home: Home) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in said(home, "crash")]


@pytest.fixture
def app(url: str) -> Any:
    """The publishing side of the app: the same middleware, and no code of the worker."""

    class Header:
        def before_publish(self, publication: Any) -> None:
            publication.headers["from"] = "publisher"

    made = App(url, middleware=[Header()])

    @made.task(name="fragile", queue="q")
    def fragile(how: str, deliveries: int = 1) -> None: ...

    yield made
    made.close()


def publish(app: App, *calls: Any, **options: Any) -> list[str]:
    task = next(iter(app.tasks.values()))
    return [one.id for one in task.using(**options).publish_many(calls)]


def start(home: Home, *args: str, **how: Any) -> Any:
    home.write(APP)
    return home.pool(*args, **{"handler": "app:app", "concurrency": 1, **how})


def stop(pool: Any) -> None:
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize("preload", ["auto", "off"])
@pytest.mark.parametrize("how", ["segv", "SIGKILL", "exit"])
def test_the_next_worker_is_told_of_a_crash_before_it_claims(home: Home, app: App, how: str, preload: str) -> None:
    pool = start(home, f"--preload={preload}")
    (message,) = publish(app, (how,))
    home.handled(1)
    stop(pool)

    (crash,) = crashes(home)
    first, second = (int(pid) for pid in said(home, "boot"))
    facts = {"segv": ("SIGSEGV", None), "SIGKILL": ("SIGKILL", None), "exit": ("", 7)}[how]
    assert (crash["signal"], crash["exit_code"]) == facts
    assert (crash["pid"], crash["seen_by"]) == (first, second)
    assert (crash["message_id"], crash["queue"], crash["delivery"]) == (message, "q", 1)
    assert (crash["task"], crash["headers"]) == ("fragile", {"from": "publisher"})
    assert crash["peak_memory_bytes"] > 1_000_000
    assert crash["cpu_s"] > 0
    assert crash["ran_s"] >= 0
    assert crash["error_type"] == "WorkerCrashed"
    assert ("in die" in crash["stack"]) == (how == "segv")
    order = [line.split(" ")[0] for line in home.lines()]
    assert order == ["boot", "before", "boot", "crash", "before", "after", "shutdown"]


def test_each_crash_is_reported_once_also_when_a_message_kills_again(home: Home, app: App) -> None:
    pool = start(home, "--max-crashes=5")
    publish(app, ("SIGKILL", 3))
    home.handled(1)
    stop(pool)

    assert [crash["delivery"] for crash in crashes(home)] == [1, 2, 3]
    assert [crash["earlier"] for crash in crashes(home)] == [0, 0, 0]


def test_the_crash_of_a_quarantined_message_still_has_its_task(home: Home, app: App) -> None:
    pool = start(home, "--max-crashes=1")
    publish(app, ("SIGKILL", 9))
    eventually(lambda: crashes(home), PATIENCE_S, pool.log)
    stop(pool)

    assert home.mq.stats("q").dead_lettered == 1
    assert crashes(home)[0]["task"] == "fragile"


def test_a_message_over_its_memory_limit_is_told_with_the_name_of_the_limit(home: Home, app: App) -> None:
    pool = start(home, "--kill-memory=300")
    publish(app, ("fill",), max_retries=1)
    home.handled(1)
    stop(pool)

    (crash,) = crashes(home)
    assert crash["error_type"] == "MemoryLimitExceeded"
    assert crash["peak_memory_bytes"] > 250_000_000


def test_a_handler_that_ignores_its_time_limit_is_told_as_a_crash(home: Home, app: App) -> None:
    pool = start(home, "--timeout-grace=0.5")
    publish(app, ("hang",), timeout_s=0.5, max_retries=1)
    home.handled(1)
    stop(pool)

    (crash,) = crashes(home)
    assert crash["error_type"] == "MessageTimeout"
    assert crash["signal"] == "SIGKILL"


def test_an_orderly_end_is_no_crash(home: Home, app: App) -> None:
    pool = start(home, "--max-messages=2")
    publish(app, *[("nothing",)] * 10)
    home.handled(10)
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    stop(pool)

    assert crashes(home) == []
    assert sorted(said(home, "boot")) == sorted(said(home, "shutdown"))
    assert len(said(home, "boot")) >= 6


def test_an_idle_worker_that_is_killed_is_told_without_a_message(home: Home, app: App) -> None:
    pool = start(home)
    os.kill(pool.worker_pids()[0], signal.SIGKILL)
    (crash,) = eventually(lambda: crashes(home), PATIENCE_S, pool.log)
    stop(pool)

    assert (crash["message_id"], crash["queue"], crash["task"], crash["delivery"]) == ("", "", "", 0)


BROKEN = """
import os, time, bizzmq
class Broken:
    def on_worker_boot(self):
        say("boot")
        raise ValueError("cannot boot")
    def on_worker_crash(self, crash):
        say("crash")
        raise SystemExit(3)
    def on_worker_shutdown(self):
        say("shutdown")
        raise ValueError("cannot shut down")
bizzmq.add_middleware(Broken())
def handler(body, context):
    if body == "die" and context.delivery == 1:
        os.kill(os.getpid(), 9)
"""


def test_a_middleware_that_fails_in_every_hook_of_a_worker_stops_nothing(home: Home) -> None:
    home.write(BROKEN)
    pool = home.pool(concurrency=1)
    home.mq.publish_message_to_queue("q", "die")
    home.handled(1)
    stop(pool)

    assert home.lines() == ["boot", "boot", "crash", "shutdown"]
    assert pool.log().count("a middleware has failed middleware=app.Broken") == 4


SLOW = """
import time, bizzmq
class Slow:
    def {hook}(self, *_):
        say("begins")
        time.sleep(600)
bizzmq.add_middleware(Slow())
def handler(body):
    if body == "fail":
        raise ValueError
"""


@pytest.mark.usually(2)
@pytest.mark.parametrize("hook", ["before_handler", "after_handler", "on_dead_letter"])
def test_a_hook_that_never_ends_meets_the_limit_of_its_message(home: Home, hook: str) -> None:
    home.write(SLOW.replace("{hook}", hook))
    pool = home.pool("--timeout=0.5", "--timeout-grace=0.5", concurrency=1)
    home.mq.publish_message_to_queue("q", "fail")
    eventually(lambda: home.mq.stats("q").dead_lettered == 1, PATIENCE_S, pool.log)
    stop(pool)

    (dead,) = dead_letters(home)
    assert dead["error_type"] == "MessageTimeout"
    assert home.lines() == ["begins"]


def dead_letters(home: Home) -> list[Any]:
    found: list[Any] = []
    home.mq.consume_until_empty("q_dlq", lambda body, context: found.append(context.error), timeout_s=30)
    return found


def test_a_middleware_of_a_plain_handler_is_added_to_the_process(home: Home) -> None:
    home.write(
        "import bizzmq\n"
        "class Says:\n"
        "    def before_handler(self, context):\n        say('before', context.body)\n"
        "    def after_handler(self, context, result, error):\n        say('after', result)\n"
        "bizzmq.add_middleware(Says())\n"
        "def handler(body):\n    return body + 1\n"
    )
    pool = home.pool(concurrency=1)
    home.mq.publish_messages_to_queue("q", [1, 2])
    home.handled(2)
    stop(pool)

    assert home.lines() == ["before 1", "after 2", "before 2", "after 3"]
