"""Hooks around messages and at the start and end of workers, and the orderly end of a worker."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import bizzmq
from bizzmq import ConfigurationError
from bizzmq.consumer.handlers import user_hooks
from bizzmq.consumer.handlers.handler import Handler
from bizzmq.testing.wait import eventually
from tests.consumer.handler_runs import MESSAGE, context, run
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

APP = """
import asyncio, atexit, os, tempfile, threading, time, bizzmq
folder = tempfile.TemporaryDirectory(prefix="bizzmq-test-")
say("folder", folder.name)
rows = open(OUT + ".rows", "a")
seen = []

@bizzmq.on_worker_boot
def boot():
    say("boot", os.getpid())

@bizzmq.on_worker_shutdown
def first():
    say("first", os.getpid(), len(seen))

@bizzmq.on_worker_shutdown
async def second():
    await asyncio.sleep(0)
    say("second", os.getpid(), len(seen))

atexit.register(lambda: say("atexit", os.getpid(), len(seen), os.path.isdir(folder.name)))

def handler(body):
    seen.append(body)
    rows.write("row\\n")
    if body == "thread":
        def late():
            time.sleep(0.2)
            say("thread", os.getpid())
        threading.Thread(target=late).start()
"""


def reported(home: Home, word: str) -> list[list[str]]:
    return [line.split()[1:] for line in home.lines() if line.split()[0] == word]


def rows(home: Home) -> int:
    return (home.folder / "out.rows").read_text().count("row\n")


def check_ends(home: Home, workers: int, messages: int) -> None:
    """Check the number of workers that ended in order, and the total of messages that they handled."""
    assert len(reported(home, "boot")) == workers
    for word in ("first", "second", "atexit"):
        assert sorted(line[0] for line in reported(home, word)) == sorted(line[0] for line in reported(home, "boot"))
        assert sum(int(line[1]) for line in reported(home, word)) == messages
    order = [line.split()[0] for line in home.lines() if line.split()[1:2] == reported(home, "boot")[0][:1]]
    assert order.index("second") < order.index("first") < order.index("atexit")
    assert rows(home) == messages
    assert not any(Path(path).is_dir() for (path,) in reported(home, "folder"))


@pytest.mark.usually(2, every=3)
@pytest.mark.parametrize("preload", ["auto", "off"])
@pytest.mark.parametrize("end", ["drain", "burst"])
def test_an_orderly_worker_ends_like_a_program(home: Home, preload: str, end: str) -> None:
    home.write(APP)
    home.mq.publish_messages_to_queue("q", ["thread"] * 2 + [None] * 98)
    pool = home.pool(f"--preload={preload}", *(["--burst"] if end == "burst" else []), ready=False)
    home.handled(100)
    if end == "drain":  # the second worker starts when the first has imported: by then all may be handled
        eventually(lambda: pool.log().count("worker ready") == 2, PATIENCE_S, pool.log)
        pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0

    check_ends(home, 2 if end == "drain" else len(reported(home, "boot")), 100)
    assert len(reported(home, "thread")) == 2
    if preload == "auto":  # the folder belongs to the template: it exists until the last worker has exited
        assert {line[2] for line in reported(home, "atexit")} == {"True"}


def test_a_reload_and_a_replacement_are_orderly_ends_too(home: Home) -> None:
    home.write(APP)
    pool = home.pool("--max-messages=10", concurrency=1)
    home.mq.publish_messages_to_queue("q", [None] * 25)
    home.handled(25)
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    home.mq.publish_message_to_queue("q", None)
    home.handled(26)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    check_ends(home, len(reported(home, "boot")), 26)
    assert all(int(line[1]) <= 10 for line in reported(home, "first"))


def test_no_worker_runs_more_messages_than_it_may(home: Home) -> None:
    home.write("import os\ndef handler(body):\n    say(os.getpid())\n")
    pool = home.pool("--max-messages=1")
    home.mq.publish_messages_to_queue("q", [None] * 20)

    home.handled(20)

    assert set(Counter(home.lines()).values()) == {1}
    assert "worker died" not in pool.log()


@pytest.mark.usually(2)
@pytest.mark.parametrize("what", ["thread", "atexit", "hook"])
def test_an_end_that_takes_too_long_is_cut_off_and_logged(home: Home, what: str) -> None:
    home.write(
        "import atexit, threading, time, bizzmq\n"
        "def hang():\n    time.sleep(600)\n"
        + {"thread": "", "atexit": "atexit.register(hang)\n", "hook": "bizzmq.on_worker_shutdown(hang)\n"}[what]
        + "def handler(body):\n    "
        + ("threading.Thread(target=hang).start()\n" if what == "thread" else "pass\n")
    )
    pool = home.pool("--drain-timeout=3", concurrency=1)
    home.mq.publish_message_to_queue("q", 1)
    home.handled(1)
    pool.signal(signal.SIGTERM)

    assert pool.wait(PATIENCE_S) == 0

    assert home.mq.stats("q").acked == 1
    assert home.mq.stats("q").requeued == 0


def test_an_error_at_the_end_is_logged_and_the_rest_is_done(home: Home) -> None:
    home.write(
        "import atexit, bizzmq\n"
        "bizzmq.on_worker_shutdown(lambda: say('last'))\n"
        "@bizzmq.on_worker_shutdown\ndef broken():\n    1 / 0\n"
        "atexit.register(lambda: say('atexit'))\n"
        "def handler(body):\n    pass\n"
    )
    pool = home.pool("--burst", ready=False, concurrency=1)

    assert pool.wait(PATIENCE_S) == 0

    assert home.lines() == ["last", "atexit"]
    assert "a hook has failed hook=app.broken of=on_worker_shutdown" in pool.log()


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_a_boot_hook_that_raises_is_a_failed_start(home: Home, preload: str) -> None:
    home.write(
        "import bizzmq\n"
        "@bizzmq.on_worker_boot\ndef connect():\n    raise OSError('no database')\n"
        "def handler(m):\n    pass\n"
    )
    pool = home.pool(f"--preload={preload}", ready=False)

    assert pool.wait(PATIENCE_S) == 3

    assert "bizzmq-worker: the hook app.connect (on_worker_boot) failed: OSError: no database" in pool.log()
    assert "in connect" in pool.log()


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_hooks, "registered", user_hooks.Hooks())


calls: list[Any] = []


def like_close_old_connections(**kwargs: Any) -> None:
    """Like that of Django, which is also the receiver of a signal."""
    assert not kwargs


@pytest.mark.usefixtures("nothing_registered")
def test_hooks_around_a_message_receive_its_context_and_change_nothing() -> None:
    calls.clear()
    bizzmq.before_message(lambda context: calls.append(("before", context.id)))
    bizzmq.before_message(like_close_old_connections)

    @bizzmq.before_message
    def broken(_context: Any) -> None:
        raise ValueError("in a hook")

    @bizzmq.after_message
    async def after() -> None:
        calls.append("after")

    def failing(_body: Any) -> None:
        calls.append("handler")
        raise KeyError("in the handler")

    assert run(calls.append) is None
    assert isinstance(run(failing), KeyError)
    assert calls == [("before", MESSAGE.id), MESSAGE.body, "after", ("before", MESSAGE.id), "handler", "after"]


class Client:
    """Like many async clients: a task of its own reads all replies."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[Any] = asyncio.Queue()
        self.reader = asyncio.ensure_future(self._read())

    async def ask(self, question: Any) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait((question, answer))
        return await asyncio.wait_for(answer, 5.0)

    async def _read(self) -> None:
        while True:
            question, answer = await self._asked.get()
            answer.set_result(question)


@pytest.mark.usefixtures("nothing_registered")
@pytest.mark.parametrize("when", ["on_worker_boot", "before_message"])
def test_tasks_of_a_hook_run_until_the_end_and_tasks_of_a_handler_do_not(when: str) -> None:
    clients: list[Client] = []
    left: list[Any] = []

    async def connect() -> None:
        if not clients:
            clients.append(Client())

    getattr(bizzmq, when)(connect)

    async def handle(body: Any) -> None:
        left.append(asyncio.ensure_future(asyncio.sleep(600)))
        calls.append(await clients[0].ask(body))

    calls.clear()
    handler = Handler(handle)
    handler.boot()
    assert [handler.run(body, context()) for body in range(3)] == [None] * 3
    assert not clients[0].reader.done()
    handler.close()

    assert calls == [0, 1, 2]
    assert [task.cancelled() for task in (*left, clients[0].reader)] == [True] * 4


@pytest.mark.usefixtures("nothing_registered")
def test_a_hook_is_registered_once() -> None:
    def hook() -> None:
        """Nothing."""

    assert bizzmq.on_worker_boot(hook) is hook
    bizzmq.on_worker_boot(hook)
    assert user_hooks.registered.boot == [hook]


@pytest.mark.usefixtures("nothing_registered")
@pytest.mark.parametrize("name", ["on_worker_boot", "on_worker_shutdown", "before_message", "after_message"])
@pytest.mark.parametrize(
    "wrong",
    [None, 1, "hook", lambda _one, _two: None, list, (lambda: (yield))],
    ids=["None", "1", "text", "two parameters", "class", "generator"],
)
def test_an_invalid_hook_is_refused(name: str, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"bizzmq.{name} "):
        getattr(bizzmq, name)(wrong)
    assert vars(user_hooks.registered) == vars(user_hooks.Hooks())


@pytest.mark.usefixtures("nothing_registered")
def test_a_hook_of_a_worker_takes_no_arguments() -> None:
    with pytest.raises(ConfigurationError, match=r"write it as hook\(\)"):
        bizzmq.on_worker_boot(lambda _context: None)
