"""Errors and transactions by the real SDK: scopes, traces, crashes, and nothing lost at the end of a worker."""

from __future__ import annotations

import gzip
import http.server
import importlib
import json
import logging
import signal
import threading
from typing import Any, Iterator

import pytest

from bizzmq import App, BizzMQ, ConfigurationError, Context, MessageOptions, QueueOptions, Reject, RetryLater
from bizzmq.middleware.sentry import Sentry
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.middleware.recorders import Recorder, raiser
from tests.preload.test_pools import Home, home

__all__ = ["home"]

sentry_sdk: Any = pytest.importorskip("sentry_sdk")

DSN = "https://key@sentry.invalid/1"
NO_BACKOFF = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0)


class InMemory(sentry_sdk.Transport):  # type: ignore[misc]
    """Keeps the events and transactions instead of sending them."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.items: list[Any] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.items += [item.payload.json for item in envelope.items if item.type in ("event", "transaction")]

    @property
    def errors(self) -> list[Any]:
        return [item for item in self.items if item.get("type") != "transaction"]

    @property
    def transactions(self) -> list[Any]:
        return [item for item in self.items if item.get("type") == "transaction"]


@pytest.fixture
def sent() -> Iterator[InMemory]:
    """An SDK whose events stay in memory. Afterwards the process has none again."""
    transport = InMemory()
    with sentry_sdk.scope.isolation_scope(), sentry_sdk.new_scope():
        initialise(transport)
        yield transport
        sentry_sdk.get_client().close(timeout=0)
        sentry_sdk.get_global_scope().set_client(None)


def initialise(transport: InMemory) -> None:
    # Its default integrations would patch the process of all tests; this one is what has to live with ours.
    logging_integration = importlib.import_module("sentry_sdk.integrations.logging").LoggingIntegration()
    sentry_sdk.init(
        dsn=DSN, transport=transport, traces_sample_rate=1.0, default_integrations=False,
        integrations=[logging_integration],
    )  # fmt: skip


@pytest.fixture
def reporting(url: str, sent: InMemory) -> Iterator[BizzMQ]:
    """A client with the middleware, and the queue `q` with one retry at once."""
    with BizzMQ(url, middleware=[Sentry()]) as mq:
        mq.create_queue("q", NO_BACKOFF)
        yield mq


def fail(body: Any) -> None:
    raise ValueError(f"cannot handle {body}")


def test_a_dead_letter_is_reported_once_and_its_retries_are_not(reporting: BizzMQ, sent: InMemory) -> None:
    message_id = reporting.publish_message_to_queue("q", 1)
    reporting.consume_until_empty("q", fail, timeout_s=30)

    (error,) = sent.errors
    value = error["exception"]["values"][-1]
    assert (value["type"], value["value"]) == ("ValueError", "cannot handle 1")
    assert value["mechanism"]["type"] == "bizzmq"
    assert value["mechanism"]["handled"] is False
    assert value["stacktrace"]["frames"][-1]["function"] == "fail"
    assert error["tags"] == {"bizzmq.queue": "q", "bizzmq.task": ""}
    assert error["contexts"]["bizzmq"] == {"id": message_id, "queue": "q", "task": "", "delivery": 2}
    statuses = [one["contexts"]["trace"]["status"] for one in sent.transactions]
    assert statuses == ["internal_error", "internal_error"]


def test_retries_are_reported_on_request_except_those_that_the_handler_asked_for(url: str, sent: InMemory) -> None:
    def handle(body: Any, context: Context) -> None:
        if body == "later" and context.delivery == 1:
            raise RetryLater(0)
        if body == "fail" and context.delivery == 1:
            raise ValueError

    with BizzMQ(url, middleware=[Sentry(capture_retries=True)]) as mq:
        mq.create_queue("q", NO_BACKOFF)
        mq.publish_messages_to_queue("q", ["later", "fail"])
        mq.consume_until_empty("q", handle, timeout_s=30)

    assert [error["exception"]["values"][-1]["type"] for error in sent.errors] == ["ValueError"]
    assert len(sent.transactions) == 4


def test_a_message_that_another_middleware_refuses_is_reported_with_its_facts(url: str, sent: InMemory) -> None:
    gate = Recorder("gate", [], raiser("before_handler", Reject("closed")))
    with BizzMQ(url, middleware=[gate, Sentry()]) as mq:
        mq.create_queue("q", NO_BACKOFF)
        message_id = mq.publish_message_to_queue("q", 1)
        mq.consume_until_empty("q", print, timeout_s=30)

    (error,) = sent.errors
    assert error["exception"]["values"][-1]["type"] == "Reject"
    assert error["contexts"]["bizzmq"]["id"] == message_id
    assert sent.transactions == []


def test_nothing_of_one_message_reaches_another(reporting: BizzMQ, sent: InMemory) -> None:
    def handle(body: Any) -> None:
        sentry_sdk.set_tag(f"tag {body}", "yes")
        sentry_sdk.set_user({"id": body})
        sentry_sdk.add_breadcrumb(message=f"crumb {body}")
        raise Reject(str(body))

    reporting.publish_messages_to_queue("q", ["a", "b"])
    reporting.consume_until_empty("q", handle, timeout_s=30)
    sentry_sdk.capture_message("outside")

    a, b, outside = sent.errors
    assert (a["tags"]["tag a"], "tag b" in a["tags"]) == ("yes", False)
    assert (b["tags"]["tag b"], "tag a" in b["tags"]) == ("yes", False)
    assert (a["user"], b["user"]) == ({"id": "a"}, {"id": "b"})
    assert [crumb["message"] for crumb in b["breadcrumbs"]["values"]] == ["crumb b"]
    assert "tag b" not in outside.get("tags", {})
    assert "user" not in outside


def test_an_async_task_continues_the_trace_of_its_publisher(url: str, mq: BizzMQ, sent: InMemory) -> None:
    app = App(url, middleware=[Sentry()])

    @app.task(name="work", queue="jobs")
    async def work() -> None:
        with sentry_sdk.start_span(op="db", name="query"):
            pass

    app.create_queue("jobs")
    with sentry_sdk.start_transaction(name="request") as request:
        work.publish()
    mq.consume_until_empty("jobs", app.dispatcher(), timeout_s=30)
    app.close()

    web, delivery = sent.transactions
    (publish,) = web["spans"]
    assert (publish["op"], publish["data"]["messaging.destination.name"]) == ("queue.publish", "jobs")
    assert delivery["contexts"]["trace"]["trace_id"] == request.trace_id
    assert delivery["contexts"]["trace"]["parent_span_id"] == publish["span_id"]
    assert (delivery["transaction"], delivery["contexts"]["trace"]["op"]) == ("work", "queue.process")
    assert delivery["contexts"]["trace"]["status"] == "ok"
    assert [span["op"] for span in delivery["spans"]] == ["db"]


@pytest.mark.parametrize(("options", "is_sent"), [({}, False), ({"include_body": True}, True)])
def test_bodies_are_sent_only_on_request(url: str, sent: InMemory, options: Any, is_sent: bool) -> None:
    with BizzMQ(url, middleware=[Sentry(**options)]) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
        mq.publish_message_to_queue("q", {"secret": "body"})
        mq.consume_until_empty("q", reject, timeout_s=30)

    (error,) = sent.errors
    assert ("body" in error["contexts"]["bizzmq"]) == is_sent
    if not is_sent:
        del error["exception"]  # the frames of the test have the body
        assert "secret" not in json.dumps(error)


def reject(_: Any) -> None:
    raise Reject


def test_what_the_handler_logs_as_an_error_is_reported_in_its_scope(reporting: BizzMQ, sent: InMemory) -> None:
    def handle(_: Any) -> None:
        logging.getLogger("mine").error("look at this")

    message_id = reporting.publish_message_to_queue("q", 1)
    reporting.consume_until_empty("q", handle, timeout_s=30)

    (error,) = sent.errors
    assert error["logentry"]["message"] == "look at this"
    assert error["contexts"]["bizzmq"]["id"] == message_id


def test_a_forged_trace_is_a_new_trace(url: str, sent: InMemory) -> None:
    with BizzMQ(url) as plain, BizzMQ(url, middleware=[Sentry()]) as mq:
        plain.create_queue("q", NO_BACKOFF)
        for value in ("", "garbage", "\udcff", "0" * 32 + "-" + "0" * 16 + "-1"):
            headers = {"sentry-trace": value, "baggage": f"sentry-sample_rand={value},=;,{value}"}
            plain.publish_message_to_queue("q", value, MessageOptions(headers=headers))
        mq.consume_until_empty("q", print, timeout_s=30)

        assert mq.stats("q").acked == 4


def test_without_an_sdk_in_use_nothing_is_sent_and_nothing_fails(url: str, queue: str, caplog: Any) -> None:
    with BizzMQ(url, middleware=[Sentry()]) as mq:
        mq.publish_message_to_queue(queue, 1)
        mq.consume_until_empty(queue, fail, timeout_s=30)

        assert mq.stats(queue).dead_lettered == 1
    assert "a middleware has failed" not in caplog.text


@pytest.mark.parametrize("options", [{"capture_retries": "no"}, {"include_body": "yes"}, {"flush_timeout_s": -1}])
def test_options_are_checked(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Sentry(**options)


class Collector(http.server.ThreadingHTTPServer):
    """A server that counts the transactions in what a real SDK sends."""

    daemon_threads = True

    def __init__(self) -> None:
        self.transactions = 0
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Envelopes)
        self._thread = threading.Thread(target=self.serve_forever)
        self.dsn = f"http://key@127.0.0.1:{self.server_address[1]}/1"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def count(self, envelope: bytes) -> None:
        headers = [line for line in map(json.loads, envelope.splitlines()) if "length" in line]
        with self._lock:
            self.transactions += sum(header["type"] == "transaction" for header in headers)


class _Envelopes(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        collector: Any = self.server
        collector.count(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


APP = """
import json, os, time, bizzmq, sentry_sdk
from bizzmq.middleware.sentry import Sentry

class ToFile(sentry_sdk.Transport):
    "As the SDK's own: a queue that a thread empties, some time later."
    def __init__(self, options=None):
        super().__init__(options)
        self.waiting = []
    def capture_envelope(self, envelope):
        self.waiting += [item.payload.json for item in envelope.items if item.type in ("event", "transaction")]
    def flush(self, timeout, callback=None):
        with open(OUT, "a") as out:
            out.write("".join(json.dumps({**one, "by": os.getpid()}) + "\\n" for one in self.waiting))
        self.waiting = []

app = bizzmq.App(middleware=[Sentry(
    dsn="https://key@sentry.invalid/1", transport=ToFile(), traces_sample_rate=1.0, default_integrations=False
)])

@app.task(name="work", queue="q")
def work(context: bizzmq.Context, how: str) -> None:
    if how == "die" and context.delivery == 1:
        os.kill(os.getpid(), 11)
    if how == "drain":
        context.raise_on_drain()
        open(OUT + ".waits", "w").close()
        time.sleep(60)
"""


def pool_of(home: Home, *args: str, **how: Any) -> Any:
    home.write(APP)
    return home.pool(*args, **{"handler": "app:app", "concurrency": 1, **how})


def publish(url: str, *calls: str) -> None:
    app = App(url, middleware=[Sentry()])

    @app.task(name="work", queue="q")
    def work(how: str) -> None: ...

    for how in calls:
        work.publish(how)
    app.close()


def items(home: Home) -> list[Any]:
    return [json.loads(line) for line in home.lines()]


@pytest.mark.usually(1)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_recycling_and_draining_lose_nothing(home: Home, preload: str) -> None:
    pool = pool_of(home, "--max-messages=3", f"--preload={preload}", concurrency=2)
    publish(home.url, *["live"] * 12)
    home.handled(12)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    ids = [item["contexts"]["trace"]["data"]["messaging.message.id"] for item in items(home)]
    assert len(set(ids)) == len(ids) == 12
    assert len({item["by"] for item in items(home)}) >= 4


def test_the_sdks_own_transport_sends_everything_before_a_worker_ends(home: Home) -> None:
    with Collector() as collector:
        home.write(
            "import bizzmq\nfrom bizzmq.middleware.sentry import Sentry\n"
            f"app = bizzmq.App(middleware=[Sentry(dsn={collector.dsn!r}, traces_sample_rate=1.0)])\n"
            "@app.task(name='work', queue='q')\n"
            "def work(how: str) -> None:\n    pass\n"
        )
        pool = home.pool("--max-messages=3", handler="app:app")
        publish(home.url, *["live"] * 12)
        home.handled(12)
        pool.signal(signal.SIGTERM)
        assert pool.wait(PATIENCE_S) == 0

        assert collector.transactions == 12


def test_a_crash_is_reported_by_the_next_worker_in_the_trace_of_the_message(home: Home, sent: InMemory) -> None:
    pool = pool_of(home)
    with sentry_sdk.start_transaction(name="request") as request:
        publish(home.url, "die")
    home.handled(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    crash, delivery = items(home)
    assert (crash["level"], crash["message"]) == ("fatal", "a worker was killed by SIGSEGV")
    assert crash["tags"] == {"bizzmq.queue": "q", "bizzmq.task": "work"}
    assert crash["contexts"]["bizzmq"]["signal"] == "SIGSEGV"
    assert "in work" in crash["contexts"]["bizzmq"]["stack"]
    assert crash["contexts"]["bizzmq"]["pid"] != crash["by"]
    assert crash["contexts"]["trace"]["trace_id"] == delivery["contexts"]["trace"]["trace_id"] == request.trace_id


def test_a_message_that_a_drain_puts_back_is_no_error(home: Home) -> None:
    pool = pool_of(home, "--drain-timeout=2")
    publish(home.url, "drain")
    eventually((home.folder / "out.waits").exists, PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    (delivery,) = items(home)
    assert delivery["type"] == "transaction"
    assert delivery["contexts"]["trace"]["status"] == "aborted"
    assert home.mq.stats("q").waiting == 1
