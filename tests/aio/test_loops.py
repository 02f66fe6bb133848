"""Event loops that end, of which there are several, and that are interrupted."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from redis import Redis

from bizzmq import AsyncBizzMQ, BizzMQ
from bizzmq.aio.threads import in_thread
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.aio.conftest import Run, new_loop, run_in

PROGRAM = """
import asyncio, gc, signal, sys
from bizzmq import AsyncBizzMQ

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it

mq = AsyncBizzMQ(sys.argv[1])

async def main():
    # Python's development mode reports each step that takes longer, as all do on a busy machine.
    asyncio.get_running_loop().slow_callback_duration = 3600
    await mq.create_queue("q")
    print(await mq.publish_message_to_queue("q", 1), flush=True)
    {}

{}
gc.collect()
"""


def program(url: str, body: str = "pass", start: str = "asyncio.run(main())") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-X", "dev", "-c", PROGRAM.format(body, start), url],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def stored(redis: Redis) -> int:
    return int(redis.hlen(Keys("q").messages))


@pytest.mark.parametrize("closes", [True, False])
def test_a_client_works_in_one_loop_after_the_other(url: str, redis: Redis, closes: bool) -> None:
    amq = AsyncBizzMQ(url)

    async def use(number: int) -> None:
        await amq.create_queue("q")
        await asyncio.gather(*[amq.publish_message_to_queue("q", number) for _ in range(5)])

    for kind in ("asyncio", "uvloop", "asyncio"):
        run_in(new_loop(kind), use(1))
    assert stored(redis) == 15

    if closes:
        run_in(new_loop("asyncio"), amq.close())


def test_loops_in_several_threads_share_a_client(url: str, redis: Redis) -> None:
    amq = AsyncBizzMQ(url, max_connections=2)
    failures: list[BaseException] = []

    async def use() -> None:
        await amq.create_queue("q")
        for _ in range(50):
            await asyncio.gather(*[amq.publish_message_to_queue("q", 1) for _ in range(4)])

    def work() -> None:
        try:
            run_in(new_loop("asyncio"), use())
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    run_in(new_loop("asyncio"), amq.close())
    assert failures == []
    assert stored(redis) == 800


def test_closing_in_one_loop_closes_the_connections_of_another(url: str, redis: Redis) -> None:
    amq = AsyncBizzMQ(url)
    used, close = threading.Event(), threading.Event()

    async def use() -> None:
        await amq.create_queue("q")
        used.set()
        await in_thread(close.wait)

    thread = threading.Thread(target=lambda: run_in(new_loop("asyncio"), use()))
    before = int(redis.info("clients")["connected_clients"])
    thread.start()
    assert used.wait(60)
    run_in(new_loop("asyncio"), amq.close())

    eventually(lambda: int(redis.info("clients")["connected_clients"]) <= before)
    close.set()
    thread.join()


def test_a_forked_child_gets_connections_of_its_own(run: Run, url: str, redis: Redis) -> None:
    amq = AsyncBizzMQ(url)

    async def publish(count: int) -> list[str]:
        await amq.create_queue("q")
        return [await amq.publish_message_to_queue("q", 1) for _ in range(count)]

    async def main() -> list[str]:
        ids = await publish(3)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = int(len(asyncio.run(publish(4))) != 4)
            finally:
                os._exit(code)
        ids += await publish(3)
        assert await in_thread(lambda: os.waitpid(child, 0)[1]) == 0
        ids += await publish(3)
        await amq.close()
        return ids

    ids = run(main())

    assert stored(redis) == 13
    assert len(set(ids)) == 9


def test_a_program_that_closes_nothing_ends_without_a_word(url: str, redis: Redis) -> None:
    done = program(url)
    out, errors = done.communicate(timeout=60)

    assert (done.returncode, errors, len(out.split())) == (0, "", 1)


def test_a_loop_that_is_closed_during_calls_ends_without_a_word(url: str, redis: Redis) -> None:
    body = """
    for _ in range(30):
        asyncio.ensure_future(mq.publish_messages_to_queue("q", range(3000)))
    await asyncio.sleep(0.02)
"""
    done = program(url, body)
    _, errors = done.communicate(timeout=60)

    assert (done.returncode, errors) == (0, "")


def test_ctrl_c_ends_a_program_with_its_usual_traceback(url: str, redis: Redis) -> None:
    body = """
    while True:
        await asyncio.gather(*[mq.publish_message_to_queue("q", 1) for _ in range(20)])
"""
    running = program(url, body)
    assert running.stdout is not None
    running.stdout.readline()
    eventually(lambda: stored(redis) > 100)
    running.send_signal(signal.SIGINT)
    # Before 3.11 Python raises it between any two instructions: between a coroutine's call and its await, or while
    # asyncio schedules a task. Then asyncio reports that, or waits for that task until the next Ctrl+C.
    is_orderly = sys.version_info >= (3, 11)
    try:
        _, errors = running.communicate(timeout=60 if is_orderly else 5)
    except subprocess.TimeoutExpired:
        assert not is_orderly
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)

    assert running.returncode in (-signal.SIGINT, 130), errors
    assert "\nKeyboardInterrupt" in errors
    rude = ["never awaited", "never retrieved", "was destroyed"] if is_orderly else []
    for word in ("ResourceWarning", *rude):
        assert word not in errors


def test_a_client_that_is_dropped_without_close_gives_back_its_sockets(run: Run, url: str, redis: Redis) -> None:
    before = int(redis.info("clients")["connected_clients"])

    async def main() -> None:
        for _ in range(5):
            await AsyncBizzMQ(url).create_queue("q")
            gc.collect()
        for _ in range(2000):
            if int(redis.info("clients")["connected_clients"]) <= before:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("sockets are left open")

    run(main())


def test_importing_bizzmq_does_not_import_the_async_client() -> None:
    check = "import sys, bizzmq; assert 'bizzmq.aio.client' not in sys.modules; bizzmq.AsyncBizzMQ; bizzmq.AsyncBizzMQ"
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


def _parameters(thing: Any) -> list[tuple[str, Any, Any]]:
    import inspect

    return [(one.name, one.kind, one.default) for one in inspect.signature(thing).parameters.values()]


@pytest.mark.parametrize("name", ["__init__", *[name for name in dir(BizzMQ) if not name.startswith("_")]])
def test_each_method_of_the_blocking_client_has_its_twin(name: str) -> None:
    assert _parameters(getattr(AsyncBizzMQ, name)) == _parameters(getattr(BizzMQ, name))
    assert name == "__init__" or asyncio.iscoroutinefunction(getattr(AsyncBizzMQ, name))
