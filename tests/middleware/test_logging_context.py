"""Log records name the message that they belong to."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import signal
import threading
from typing import Any, Iterator

import pytest

from bizzmq import App, BizzMQ
from bizzmq.middleware.logging_context import JsonFormatter, LoggingContext, current_message
from tests.faults.scene import PATIENCE_S
from tests.preload.test_pools import Home, home

__all__ = ["home"]

library = logging.getLogger("some.library")
NONE = ("", "", "", 0)


class Kept(logging.Handler):
    """Keeps the text and the attributes of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def of(self, text: str) -> Any:
        (record,) = [record for record in self.records if record.getMessage() == text]
        values: Any = record
        return (values.bizzmq_id, values.bizzmq_task, values.bizzmq_queue, values.bizzmq_delivery)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    library.addHandler(handler)
    library.setLevel(logging.DEBUG)
    yield handler
    library.removeHandler(handler)
    library.setLevel(logging.NOTSET)


@pytest.fixture
def logging_context() -> Iterator[LoggingContext]:
    factory = logging.getLogRecordFactory()
    made = LoggingContext()
    yield made
    made.uninstall()
    logging.setLogRecordFactory(factory)


def test_each_record_of_a_handler_carries_its_message(
    url: str, queue: str, kept: Kept, logging_context: LoggingContext
) -> None:
    def handle(body: str) -> None:
        library.info("handling %s", body)
        fresh = threading.Thread(target=lambda: library.info("fresh thread of %s", body))
        copied = threading.Thread(
            target=contextvars.copy_context().run, args=(library.info, "copied thread of %s", body)
        )
        for thread in (fresh, copied):
            thread.start()
            thread.join()

    library.info("before")
    with BizzMQ(url, middleware=[logging_context]) as mq:
        a, b = mq.publish_messages_to_queue(queue, ["a", "b"])
        mq.consume_until_empty(queue, handle, timeout_s=30)
    library.info("after")

    assert kept.of("handling a") == kept.of("copied thread of a") == (a, "", "q", 1)
    assert kept.of("handling b") == kept.of("copied thread of b") == (b, "", "q", 1)
    assert kept.of("fresh thread of a") == kept.of("before") == kept.of("after") == NONE
    assert current_message() == {"bizzmq_id": "", "bizzmq_task": "", "bizzmq_queue": "", "bizzmq_delivery": 0}


def test_async_tasks_and_their_children_carry_the_message_of_a_task(
    url: str, mq: BizzMQ, kept: Kept, logging_context: LoggingContext
) -> None:
    app = App(url, middleware=[logging_context])

    @app.task(name="work", queue="jobs")
    async def work(n: int) -> None:
        async def child() -> None:
            await asyncio.sleep(0)
            library.info("child %s", n)

        await asyncio.gather(asyncio.ensure_future(child()), child_of_a_library(n))

    async def child_of_a_library(n: int) -> None:
        await asyncio.sleep(0)
        library.warning("library %s", n)

    app.create_queue("jobs")
    (one,) = work.publish_many([(1,)])
    mq.consume_until_empty("jobs", app.dispatcher(), timeout_s=30)
    app.close()

    assert kept.of("child 1") == kept.of("library 1") == (one.id, "work", "jobs", 1)


def test_a_redelivery_has_its_number(url: str, queue: str, kept: Kept, logging_context: LoggingContext) -> None:
    def handle(body: Any, context: Any) -> None:
        library.info("delivery %s", context.delivery)
        if context.delivery == 1:
            raise ValueError

    with BizzMQ(url, middleware=[logging_context]) as mq:
        message_id = mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, handle, timeout_s=30)

    assert kept.of("delivery 2") == (message_id, "", "q", 2)


def test_names_of_the_users_own_extra_stay_free(kept: Kept, logging_context: LoggingContext) -> None:
    library.info("mine", extra={"id": 1, "task": "t", "queue": "q", "delivery": 2, "message_id": 3})

    assert vars(kept.records[0])["task"] == "t"
    assert kept.of("mine") == NONE


def test_a_record_factory_of_the_user_is_called_and_stays(kept: Kept) -> None:
    before = logging.getLogRecordFactory()

    def own(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        vars(record)["own"] = "yes"
        return record

    logging.setLogRecordFactory(own)
    try:
        context = LoggingContext()
        library.info("both")
        later_of = logging.getLogRecordFactory()

        def later(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = later_of(*args, **kwargs)
            vars(record)["later"] = "yes"
            return record

        logging.setLogRecordFactory(later)
        context.uninstall()
        library.info("uninstalled")

        assert logging.getLogRecordFactory() is later
    finally:
        logging.setLogRecordFactory(before)
    both, uninstalled = map(vars, kept.records)
    assert (both["own"], both["bizzmq_id"]) == ("yes", "")
    assert (uninstalled["own"], uninstalled["later"]) == ("yes", "yes")
    assert "bizzmq_id" not in uninstalled


def test_uninstalling_restores_the_factory_and_may_be_repeated() -> None:
    before = logging.getLogRecordFactory()
    first, second = LoggingContext(), LoggingContext()

    for _ in range(2):
        second.uninstall()
        first.uninstall()

    assert logging.getLogRecordFactory() is before


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


def test_a_json_line_has_the_message_the_extra_and_the_exception(kept: Kept, logging_context: LoggingContext) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        library.exception("failed %d", 1, extra={"rows": 3, "odd": {1, 2}, "worse": Unprintable(), "nan": float("nan")})

    line = JsonFormatter().format(kept.records[0])
    entry = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    assert "\n" not in line
    assert (entry["message"], entry["level"], entry["logger"]) == ("failed 1", "error", "some.library")
    assert (entry["rows"], entry["odd"], entry["worse"]) == (3, "{1, 2}", "<Unprintable>")
    assert (entry["bizzmq_id"], entry["bizzmq_delivery"]) == ("", 0)
    assert entry["exception"].endswith("ValueError: broken")


def test_in_a_pool_no_line_is_without_its_attributes(home: Home) -> None:
    home.write(
        "import logging, sys, bizzmq\n"
        "from bizzmq.middleware.logging_context import LoggingContext\n"
        "bizzmq.add_middleware(LoggingContext())\n"
        "out = logging.FileHandler(OUT)\n"
        "out.setFormatter(logging.Formatter('[%(bizzmq_id)s %(bizzmq_queue)s] %(message)s'))\n"
        "logging.getLogger('mine').addHandler(out)\n"
        "logging.getLogger('mine').warning('imported')\n"
        "@bizzmq.on_worker_boot\n"
        "def boot():\n    logging.getLogger('mine').warning('booted')\n"
        "def handler(body):\n    logging.getLogger('mine').warning('body %s', body)\n"
    )
    pool = home.pool(concurrency=1)
    ids = home.mq.publish_messages_to_queue("q", [1, 2])
    home.handled(2)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    assert home.lines() == ["[ ] imported", "[ ] booted", f"[{ids[0]} q] body 1", f"[{ids[1]} q] body 2"]
    assert "Logging error" not in pool.log()
