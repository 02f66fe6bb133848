"""The output of messages in this process: what each one logs is kept with it, and nothing of others."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
import threading
from typing import Any

import pytest
from redis import Redis

from bizzmq import App, AsyncBizzMQ, BizzMQ, Context, MessageOptions, QueueOptions, Reject
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.records import OUTPUT_BYTES
from tests.pool.command import OPERATOR, run

K = QueueKeys("q")
KEPT = MessageOptions(output_ttl_s=600)
_logger = logging.getLogger("shop.orders")


@pytest.fixture(autouse=True)
def dead_letters(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))


def texts(output: str) -> list[str]:
    """The lines without their times."""
    return [re.sub(r"^\S+Z ", "", line) for line in output.splitlines()]


def outputs(mq: BizzMQ, handler: Any, *bodies: Any) -> list[list[str]]:
    """The lines of the output of messages with these bodies."""
    ids = mq.publish_messages_to_queue("q", bodies, KEPT)
    mq.consume_until_empty("q", handler, timeout_s=60)
    return [texts(mq.output(one)) for one in ids]


def test_each_message_has_its_own_lines(mq: BizzMQ) -> None:
    def handler(body: int, context: Context) -> None:
        context.log("%d%% of %s", body, "x", level=logging.WARNING)
        _logger.warning("warned of %d", body)
        _logger.debug("below the level")
        logging.getLogger("bizzmq.own").error("not the message's")
        if body == 2:
            raise Reject("no")

    _logger.warning("before")
    assert outputs(mq, handler, 1, 2, 3) == [
        [f"WARNING {body}% of x", f"WARNING shop.orders: warned of {body}"] for body in (1, 2, 3)
    ]


def test_errors_have_their_tracebacks_and_wrong_arguments_fail_no_message(mq: BizzMQ) -> None:
    def handler(_body: Any) -> None:
        try:
            1 / 0  # noqa: B018 - it raises
        except ZeroDivisionError:
            _logger.exception("no\x1b[31m")
        logging.raiseExceptions, before = False, logging.raiseExceptions
        _logger.error("%d", "x")
        logging.raiseExceptions = before

    ((first, *trace),) = outputs(mq, handler, 1)
    assert first == "ERROR   shop.orders: no\x1b[31m"
    assert trace[0].startswith("Traceback")
    assert trace[-1] == "ZeroDivisionError: division by zero"


def test_it_costs_nothing_where_it_is_not_used(mq: BizzMQ, redis: Redis) -> None:
    ids = mq.publish_messages_to_queue("q", range(20), KEPT)
    mq.consume_until_empty("q", lambda _body: None, timeout_s=60)
    assert not redis.exists(*K.beside)
    assert not redis.keys("*output*")
    assert mq.output(ids[0]) == ""

    (failed,) = mq.publish_messages_to_queue("q", [1])
    mq.consume_until_empty("q", lambda _body: 1 / 0, timeout_s=60)
    assert not redis.exists(*K.beside)
    assert mq.output(failed) == ""


def test_without_a_time_a_success_keeps_nothing_and_a_replay_forgets(mq: BizzMQ, redis: Redis) -> None:
    def handler(body: int, context: Context) -> None:
        context.log("x")
        if body:
            raise Reject("no")

    fine, dead = mq.publish_messages_to_queue("q", [0, 1])
    mq.consume_until_empty("q", handler, timeout_s=60)
    assert (mq.output(fine), texts(mq.output(dead))) == ("", ["INFO    x"])

    mq.delete("q_dlq", dead)
    assert not redis.exists(*K.beside)


def test_a_discarded_message_keeps_it_with_its_result(mq: BizzMQ, redis: Redis) -> None:
    mq.update_queue("q", {"config_dead_letter_queue": False})
    message_id = mq.publish_message_to_queue("q", 1, MessageOptions(result_ttl_s=60))

    def handler(_body: Any, context: Context) -> None:
        context.log("x")
        raise Reject("no")

    mq.consume_until_empty("q", handler, timeout_s=60)

    assert texts(mq.output(message_id)) == ["INFO    x"]
    assert 0 < redis.pttl(K.result(message_id) + ":output") <= 60_000
    assert not redis.exists(*K.beside)


def test_the_last_64_kilobytes_are_kept(mq: BizzMQ) -> None:
    def handler(_body: Any, context: Context) -> None:
        for number in range(3000):
            context.log(f"{number} {'x' * 100}")

    ((*lines,),) = outputs(mq, handler, 1)

    assert lines[-1].startswith("INFO    2999 x")
    assert OUTPUT_BYTES / 180 < len(lines) < OUTPUT_BYTES / 100
    assert all(re.match(r"INFO    \d+ x{100}$", line) for line in lines)


def test_threads_write_to_the_message_that_has_started_them_while_it_runs(mq: BizzMQ) -> None:
    late: list[Any] = []

    def handler(body: int, context: Context) -> None:
        if late:
            late[0].log("too late")
        late.append(context)
        thread = threading.Thread(target=context.log, args=("thread of %d", body))
        thread.start()
        thread.join()

    assert outputs(mq, handler, 1, 2) == [["INFO    thread of 1"], ["INFO    thread of 2"]]


def test_async_handlers_in_one_loop_have_their_own_lines(url: str, mq: BizzMQ) -> None:
    meeting = threading.Barrier(2)
    ids = mq.publish_messages_to_queue("q", [1, 2], KEPT)

    async def handler(body: int, context: Context) -> None:
        _logger.error("begun %d", body)
        await asyncio.get_running_loop().run_in_executor(None, meeting.wait, 30)
        context.log("together %d", body)
        await asyncio.gather(*[task(body, number) for number in range(2)])
        await asyncio.get_running_loop().run_in_executor(
            None, contextvars.copy_context().run, _logger.error, "thread %d", body
        )

    async def task(body: int, number: int) -> None:
        await asyncio.sleep(0.01 * number)
        _logger.error("task %d of %d", number, body)

    async def main() -> None:
        async with AsyncBizzMQ(url) as amq:
            stops = [await amq.consume_message_from_queue("q", handler) for _ in range(2)]
            while (await amq.stats("q")).processing + (await amq.stats("q")).waiting:
                await asyncio.sleep(0.01)
            for stop in stops:
                await stop()

    asyncio.run(main())

    for body, message_id in enumerate(ids, 1):
        assert texts(mq.output(message_id)) == [
            f"ERROR   shop.orders: begun {body}", f"INFO    together {body}", f"ERROR   shop.orders: task 0 of {body}",
            f"ERROR   shop.orders: task 1 of {body}", f"ERROR   shop.orders: thread {body}",
        ]  # fmt: skip


def test_tasks_keep_it_and_show_escapes_it(url: str, mq: BizzMQ, redis: Redis) -> None:
    app = App(url)

    @app.task(name="a.task", queue="q", output_ttl_s=60)
    def task(context: Context, text: str) -> None:
        context.log(text)

    handle = task.publish("\x1b[31m\ud800 red")
    forged = task.using(output_ttl_s=30).publish("x")
    mq.consume_until_empty("q", app.dispatcher(), timeout_s=60)

    assert texts(handle.output()) == ["INFO    \x1b[31m\\ud800 red"]
    redis.set(K.result(forged.id) + ":output", b"\xff\x00\n")
    assert mq.output(forged.id) == "\ufffd\x00\n"
    shown = run(OPERATOR, "show", handle.id, BIZZMQ_REDIS_URL=url)
    assert "output:\n" in shown.out
    assert r"\x1b[31m\ud800 red" in shown.out.replace("\\\\", "\\")
    assert "\x1b" not in shown.out
    assert run(OPERATOR, "show", handle.id, "--json", BIZZMQ_REDIS_URL=url).json()["output"] == handle.output()
    app.close()
