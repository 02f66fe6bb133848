"""`app.run_until_idle()` runs everything in the test's own process, with a real server and a clock that it moves."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from redis import Redis

from bizzmq import App, BizzMQ, BizzMQError, ConfigurationError, HandlerFailedError, MessageOptions, QueueOptions
from bizzmq.app.published import Run
from bizzmq.audit.audit import audit
from bizzmq.broker.broker import open_broker
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.wait import eventually

HOUR_S = 3600
PATIENCE_S = 30.0


@pytest.fixture
def tested(app: App, url: str) -> Iterator[App]:
    """The app, connected to the server of this test."""
    with app.testing(url):
        yield app


def states(runs: List[Run]) -> List[Tuple[str, str]]:
    return [(run.task, run.state) for run in runs]


def test_everything_runs_and_nothing_is_left(tested: App, redis: Redis) -> None:
    note = tested.tasks["note"]
    note.publish_many([(str(n),) for n in range(20)])
    note.using(priority=1).publish("first")

    runs = tested.run_until_idle()

    assert tested.state.ran == ["first", *(str(n) for n in range(20))]
    assert states(runs) == [("note", "succeeded")] * 21
    assert runs[0].arguments == {"text": "first"}
    stats = tested.client.stats("default")
    assert (stats.acked, stats.processing, stats.unaccounted) == (21, 0, 0)
    assert redis.hlen("bizzmq:{default}:workers") == redis.hlen("bizzmq:{default}:supervisors") == 0


def test_an_app_whose_queues_do_not_exist_is_idle(tested: App) -> None:
    assert tested.run_until_idle() == []
    assert tested.client.stats("default").published == 0


def test_delays_and_retries_of_hours_take_no_time(tested: App) -> None:
    began_s = time.monotonic()
    tested.tasks["fail"].publish(1)
    tested.tasks["note"].using(delay_s=2 * HOUR_S).publish("between the retries")

    runs = tested.run_until_idle()

    assert [(run.task, run.state, run.delivery, run.delay_s) for run in runs] == [
        ("fail", "failed", 1, HOUR_S), ("fail", "failed", 2, 2 * HOUR_S), ("note", "succeeded", 1, None),
        ("fail", "succeeded", 3, None),
    ]  # fmt: skip
    assert time.monotonic() - began_s < PATIENCE_S


def test_a_message_that_fails_for_good_is_dead_lettered_for_real(tested: App, redis: Redis) -> None:
    tested.tasks["fail"].publish()
    tested.tasks["reject"].publish()

    runs = tested.run_until_idle()

    assert states(runs)[:2] == [("fail", "failed"), ("reject", "dead_lettered")]
    assert states(runs)[-1] == ("fail", "dead_lettered")
    assert redis.llen("bizzmq:{default}:dlq:waiting") == 2
    assert str(runs[-1].error) == "attempt 3"


def test_a_discarded_message_is_said_to_be(tested: App) -> None:
    tested.queue("default", QueueOptions(max_retries=0))
    tested.tasks["reject"].publish()

    assert states(tested.run_until_idle()) == [("reject", "discarded")]


def test_reraise_raises_the_error_itself_and_leaves_the_rest(tested: App) -> None:
    tested.tasks["fail"].using(priority=1).publish()
    tested.tasks["note"].using(delay_s=24 * HOUR_S).publish("later")

    with pytest.raises(ValueError, match="attempt 3") as caught:
        tested.run_until_idle(reraise=True)

    assert caught.traceback[-1].name == "fail"
    assert states(tested.run_until_idle()) == [("note", "succeeded")]


def test_without_advance_what_is_delayed_stays_until_the_test_moves_the_clock(tested: App) -> None:
    note = tested.tasks["note"]
    note.publish("now")
    note.using(delay_s=HOUR_S).publish("in an hour")
    note.using(delay_s=2 * HOUR_S).publish("in two")

    assert len(tested.run_until_idle(advance=False)) == 1
    assert tested.advance_clock(HOUR_S / 2) == 0
    assert tested.run_until_idle(advance=False) == []
    assert tested.advance_clock(HOUR_S) == 1
    assert len(tested.run_until_idle(advance=False)) == 1
    assert tested.advance_clock(HOUR_S) == 1
    assert len(tested.run_until_idle(advance=False)) == 1
    assert tested.state.ran == ["now", "in an hour", "in two"]
    assert tested.advance_clock(HOUR_S) == 0


def test_the_clock_moves_in_all_queues_and_shards(tested: App) -> None:
    tested.queue("sharded", QueueOptions(shards=4))
    note = tested.tasks["note"]
    for n in range(12):
        note.using(queue="sharded", delay_s=HOUR_S * (n + 2)).publish(str(n))
    note.using(delay_s=HOUR_S).publish("other queue")

    assert tested.advance_clock(HOUR_S * 7.5) == 7
    assert len(tested.run_until_idle(advance=False)) == 7
    assert len(tested.run_until_idle()) == 6
    assert tested.state.ran[-1] == "11"


def test_many_delayed_messages_keep_their_order(tested: App) -> None:
    for n in range(250):
        tested.tasks["note"].using(delay_s=1000 - n).publish(str(n))

    tested.run_until_idle()

    assert tested.state.ran == [str(n) for n in reversed(range(250))]


def test_what_a_task_publishes_runs_too(tested: App) -> None:
    tested.tasks["parent"].publish(3)

    assert len(tested.run_until_idle()) == 4


def test_a_task_that_publishes_itself_for_ever_ends_with_an_error(tested: App) -> None:
    tested.tasks["endless"].publish()

    with pytest.raises(BizzMQError, match=r"30 attempts have run and there is still work.*endless"):
        tested.run_until_idle(max_runs=30)

    stats = tested.client.stats("default")
    assert (stats.acked, stats.waiting, stats.processing) == (30, 1, 0)


def test_tasks_run_in_the_thread_of_the_test(tested: App) -> None:
    threads = []

    @tested.task(name="where")
    def where() -> None:
        threads.append(threading.current_thread())

    where.publish()
    tested.run_until_idle()

    assert threads == [threading.current_thread()]


def test_coroutines_run_also_when_the_test_is_in_an_event_loop(tested: App) -> None:
    async def test() -> List[Run]:
        tested.tasks["coroutine"].publish("a")
        return tested.run_until_idle()

    assert states(asyncio.run(test())) == [("coroutine", "succeeded")]
    tested.tasks["coroutine"].publish("b")
    assert states(tested.run_until_idle()) == [("coroutine", "succeeded")]


def test_messages_that_another_worker_holds_are_waited_for(tested: App, url: str) -> None:
    entered, leave = threading.Event(), threading.Event()
    tested.client.create_queue("default", QueueOptions())

    def hold(_: Any) -> None:
        entered.set()
        leave.wait(PATIENCE_S)

    with BizzMQ(url) as mq:
        mq.publish_message_to_queue("default", {"held": True})
        stop = mq.consume_message_from_queue("default", hold)
        assert entered.wait(PATIENCE_S)
        with pytest.raises(TimeoutError, match=r"not idle within 0\.2 s"):
            tested.run_until_idle(timeout_s=0.2)
        leave.set()
        assert tested.run_until_idle(timeout_s=PATIENCE_S) == []
        stop()
        assert mq.stats("default").acked == 1


def test_a_message_of_an_unknown_task_waits_until_it_is_given_up(tested: App, url: str) -> None:
    other = App(url)

    @other.task(name="unknown")
    def unknown() -> None: ...

    unknown.publish()
    other.close()

    assert states(tested.run_until_idle(advance=False)) == [("unknown", "waiting")]
    last = tested.run_until_idle()[-1]
    assert (last.task, last.state) == ("unknown", "dead_lettered")


@pytest.mark.parametrize("stop", [KeyboardInterrupt, pytest.fail.Exception])
def test_an_error_for_the_test_itself_ends_it_and_the_message_goes_back_unblamed(tested: App, stop: type) -> None:
    tested.state.error = stop("now")
    tested.tasks["raise_error"].publish()

    with pytest.raises(stop):
        tested.run_until_idle()

    stats = tested.client.stats("default")
    assert (stats.waiting, stats.processing, stats.retried) == (1, 0, 0)
    tested.state.error = ValueError("first attempt")
    assert tested.run_until_idle(advance=False)[0].state == "failed"


def test_ctrl_c_in_the_middle_of_a_request_leaves_nothing_behind(app: App, proxy: Proxy, url: str) -> None:
    @app.task(name="stall")
    def stall() -> None:
        proxy.stall()  # the next request to Redis gets no reply
        timer.start()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        proxy.resume()

    timer = threading.Timer(0.3, interrupt)
    with app.testing(proxy.url):
        app.tasks["note"].publish("a")
        stall.publish()
        app.tasks["note"].publish("b")
        with pytest.raises(KeyboardInterrupt):
            app.run_until_idle()
        timer.join()

    with BizzMQ(url) as mq:
        eventually(lambda: mq.stats("default").processing == 0, PATIENCE_S)
        assert audit_is_clean(url)


def test_a_server_that_goes_away_ends_it_by_the_time_limit(app: App, private_server: Any) -> None:
    server = private_server()
    with app.testing(server.url):
        app.tasks["note"].publish("a")
        app.state.ran = _KillingList(server)
        with pytest.raises((TimeoutError, BizzMQError)):
            app.run_until_idle(timeout_s=1)


def test_results_are_kept_as_by_a_worker(tested: App) -> None:
    handle = tested.tasks["note"].using(result_ttl_s=60).publish("a", times=3)
    failed = tested.tasks["reject"].using(result_ttl_s=60).publish()

    assert states(tested.run_until_idle()) == [("note", "succeeded"), ("reject", "dead_lettered")]
    assert handle.result(timeout_s=PATIENCE_S) == "aaa"
    with pytest.raises(HandlerFailedError, match="never"):
        failed.result(timeout_s=PATIENCE_S)


def test_a_result_that_cannot_be_kept_fails_the_attempt(tested: App) -> None:
    @tested.task(name="unkept", result_ttl_s=60, max_retries=0)
    def unkept() -> Any:
        return object()

    unkept.publish()

    assert states(tested.run_until_idle()) == [("unkept", "dead_lettered")]


def test_signed_messages_run_and_unsigned_ones_are_dead_lettered(url: str, caplog: pytest.LogCaptureFixture) -> None:
    app, ran = App(signing_keys=[b"k" * 32]), []

    @app.task(name="signed")
    def signed() -> None:
        ran.append(1)

    with app.testing(url), caplog.at_level(logging.ERROR, "bizzmq"):
        signed.publish()
        with BizzMQ(url) as unsigned:
            unsigned.publish_message_to_queue("default", {}, MessageOptions())
        runs = app.run_until_idle()

    assert (states(runs), ran) == ([("signed", "succeeded")], [1])
    assert "message is unsigned" in caplog.text


def test_a_thousand_messages_take_seconds_and_leak_nothing(tested: App) -> None:
    tested.tasks["note"].publish_many([(str(n),) for n in range(900)])
    tested.run_until_idle()
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(5):
        tested.tasks["coroutine"].publish("a")
        tested.run_until_idle()

    assert len(list(Path("/dev/fd").iterdir())) <= before
    assert not [one for one in threading.enumerate() if "lease" in one.name]


@pytest.mark.parametrize(
    "bad", [{"timeout_s": -1}, {"timeout_s": True}, {"timeout_s": "1"}, {"max_runs": 0}, {"max_runs": 1.5}]
)
def test_invalid_options_are_refused(app: App, bad: Any) -> None:
    with pytest.raises(ConfigurationError):
        app.run_until_idle(**bad)
    with pytest.raises(ConfigurationError):
        app.advance_clock(-1)


def audit_is_clean(url: str) -> bool:
    """Whether the audit of the app's queue finds nothing."""
    with open_broker(url) as broker:
        return not audit(broker, "default", lease_s=15.0).findings


class _KillingList(list):  # type: ignore[type-arg]
    def __init__(self, server: Any) -> None:
        super().__init__()
        self._server = server

    def append(self, _: str) -> None:
        self._server.kill()
