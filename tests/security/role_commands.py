"""The plain commands of each role: everything that the library sends besides scripts, each at least once."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any, Callable

from bizzmq import BizzMQ, MessageOptions, NotConfirmedError, QueueOptions, ResultExpired
from bizzmq.admin.activity.pauses import read_pauses
from bizzmq.admin.stats import overview, read_all_pools, stats
from bizzmq.admin.stored_message import STATES
from bizzmq.broker.broker import Broker
from bizzmq.broker.schedules import Fire, Fired
from bizzmq.connection.factory import connect
from bizzmq.control.pause_ends import PauseEnds
from bizzmq.doctor.server_info import info, warn_of_eviction
from bizzmq.metrics.reading import checked_window, read_metrics
from bizzmq.results.awaited import Awaited, value_of
from bizzmq.results.result_client import ending_of, result_readers
from bizzmq.schedules import operations
from bizzmq.schedules.schedule import checked_options, new_schedule

Action = Callable[[str], Any]


def _with_broker(act: Callable[[Broker], Any]) -> Action:
    def action(url: str) -> Any:
        broker = Broker(connect(url))
        try:
            return act(broker)
        finally:
            broker.connection.drop()

    return action


def publish(url: str) -> None:
    with BizzMQ(url) as mq:
        for options in (MessageOptions(), MessageOptions(priority=5), MessageOptions(delay_s=60)):
            mq.publish_messages_to_queue("q", [1, 2], options)


def throttle(url: str) -> None:
    with BizzMQ(url) as mq:
        for key, for_s in (("a", 60.0), ("a", 60.0), ("b", 0.001), ("c", 60.0)):
            mq.publish_message_to_queue("q", 1, MessageOptions(unique_key=key, unique_for_s=for_s))
            time.sleep(0.002)


def confirm(url: str) -> None:
    with BizzMQ(url) as mq:
        try:
            mq.publish_message_to_queue("q", 1, MessageOptions(confirm="replicas:1"))
        except NotConfirmedError:  # stored, but without a replica
            return


def wait(url: str) -> None:
    with BizzMQ(url) as mq:
        readers = result_readers(mq)
        for _ in range(2):  # the second wait ends the subscription of the first one
            awaited = Awaited("0" * 20, readers.shards_of("q"), keeps_result=True)
            with suppress(ResultExpired):
                value_of(awaited.message_id, ending_of(readers, awaited, 30))


def create(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q", QueueOptions(shards=2))


def create_dead(url: str) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue("q_dlq", QueueOptions())


def _look_up(broker: Broker) -> None:
    broker.exists("q")
    broker.options("q")


def _count(broker: Broker) -> None:
    stats(broker, "q")
    stats(broker, "q_dlq")


def _keep_a_lease(queue: str) -> Action:
    def keep(broker: Broker) -> None:
        broker.ping()
        warn_of_eviction(broker.connection, logging.getLogger("test"))
        broker.exists(queue)
        broker.shards(queue)
        broker.options(queue)
        broker.supervisors(queue)
        broker.workers(queue)
        broker.stored(queue, "x")
        broker.cancelled_among(queue, ["x"])
        broker.requests_to(queue, "s1")
        broker.answer(queue, "r1", b"+done")
        broker.outstanding(queue)
        stats(broker, queue)
        broker.connection.wait(broker.block([queue], 0.01))
        broker.woken()
        PauseEnds(broker).tick(queue)

    return _with_broker(keep)


def _view(broker: Broker) -> None:
    info(broker.connection, "server")
    broker.time()
    broker.ping()
    overview(broker)
    broker.perform(read_pauses(broker.keys("q")))
    broker.connection.execute("ZCARD", broker.keys("q").suspended)  # if anything was ever put aside
    _count(broker)
    broker.perform(read_all_pools(None))
    for queue in ("q", "q_dlq"):
        broker.perform(read_metrics(broker.keys(queue), checked_window(3600, None)))


def _inspect(url: str) -> None:
    with BizzMQ(url) as mq:
        found = [one.id for state in STATES for one in mq.messages("q", state).messages]
        found += [one.id for one in mq.messages("q_dlq", "processing").messages]
        assert len(found) > len(STATES)
        for message_id in (*found, "none"):
            mq.explain(message_id, "q")
            mq.explain(message_id)
            mq.status("q", message_id)
            mq.history(message_id, "q")
            mq.output(message_id, "q")
            mq.kept_profile(message_id, "q")


def _declare(broker: Broker) -> None:
    options = checked_options(None, 60, "UTC", "last", "allow", 0)
    schedule = new_schedule("s", "q", options, b"1", MessageOptions(), app="tasks")
    for schedules in ([schedule], []):
        broker.perform(operations.declare(broker.keys("q"), schedules, "tasks", None))
    broker.has_schedules("q")
    (stored,) = broker.perform(operations.read_all(broker.keys("q")))
    score = stored.score or b""
    throttles = [
        (b"a", 60_000, Fired.FIRED),
        (b"b", 1, Fired.FIRED),
        (b"a", 1, Fired.DUPLICATE),
        (b"c", 1, Fired.FIRED),
    ]
    for number, (key, for_ms, outcome) in enumerate(throttles):
        terms = b'{"unique":"%s","for_ms":%d}' % (key, for_ms)
        fire = Fire(b"s", score, "1", "allow", f"{number:020}", b"1\n1", terms=terms)
        assert broker.fire("q", [fire]) == [outcome]
        score = b"1"
        time.sleep(0.002)


ACTIONS: dict[str, list[Action]] = {
    "publisher": [publish, confirm, _with_broker(_look_up), _with_broker(_count)],
    "checked-publisher": [publish, confirm, _with_broker(_look_up), _with_broker(_count), throttle],
    "waiter": [wait],
    "creator": [create, create_dead],
    "scheduler": [_with_broker(_declare)],
    "worker": [_keep_a_lease("q"), create],
    "dead-letter-worker": [_keep_a_lease("q_dlq"), create_dead],
    "viewer": [_with_broker(_view)],
    "inspector": [_with_broker(_view), _inspect],
    "operator": [],
}
