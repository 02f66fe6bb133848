"""Situations of a message, and the sentence that explains each."""

from __future__ import annotations

import time
from typing import Any, Callable, NamedTuple

import pytest
from redis import Redis

from bizzmq import App, BizzMQ, MessageOptions, QueueOptions, Reject
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker
from bizzmq.consumer.lease import Lease
from bizzmq.protocol.ids import MessageIds
from bizzmq.protocol.pool_report import DRAINING, PAUSED, PoolReport, RunningMessage
from bizzmq.schedules.scheduler import Scheduler
from bizzmq.testing.wait import eventually

OPTIONS = QueueOptions(config_dead_letter_queue=True, max_retries=5, retry_backoff_s=60)
S1, S2 = "host-a:boot:11:AAAAAAA", "host-b:boot:22:BBBBBBB"
W1, W2, W3 = f"{S1}/0.aaaa", f"{S1}/1.bbbb", f"{S2}/0.cccc"


class Stage:
    """A queue `q`, and what may happen around it."""

    def __init__(self, mq: BizzMQ, broker: Broker, redis: Redis, url: str) -> None:
        self.mq, self.broker, self.redis, self.url = mq, broker, redis, url
        mq.create_queue("q", OPTIONS)

    def publish(self, body: Any = 1, queue: str = "q", **options: Any) -> str:
        return self.mq.publish_message_to_queue(queue, body, MessageOptions(**options))

    def pool(self, *workers: str, supervisor: str = S1, silent_s: float = 0.0, **report: Any) -> None:
        """A pool that has sent its last report `silent_s` ago."""
        for worker in workers or ("",):
            self.broker.register("q", supervisor, worker)
        self.broker.report("q", supervisor, PoolReport(workers=len(workers), **report).encode(), 600_000)
        if silent_s:
            key = f"bizzmq:{{q}}:pool:{supervisor}"
            stamp, _, data = self.redis.get(key).partition(" ")
            self.redis.set(key, f"{int(stamp) - round(silent_s * 1000)} {data}")

    def claim(self, count: int = 1, worker: str = W1) -> None:
        assert len(self.broker.claim("q", worker, max(1, count)).entries) == count

    def consume(self, handler: Callable[..., Any], queue: str = "q") -> None:
        self.mq.consume_until_empty(queue, handler, timeout_s=30)


def behind_others(stage: Stage) -> str:
    stage.pool(W1, W2)
    ids = [stage.publish() for _ in range(4)]
    stage.publish(priority=1)
    return ids[3]


def behind_many(stage: Stage) -> str:
    stage.pool(W1, busy=1)
    return stage.mq.publish_messages_to_queue("q", range(30_000))[29_000]


def busy_workers(stage: Stage) -> str:
    stage.publish(), stage.publish()
    stage.pool(W1, W2, busy=2, longest_s=12.2)
    stage.claim(1, W1), stage.claim(1, W2)
    return stage.publish()


def busy_elsewhere(stage: Stage) -> str:
    stage.pool(W1, busy=1, longest_s=4.0)
    return stage.publish()


def next_one(stage: Stage) -> str:
    stage.pool(W1, W2, busy=1)
    return stage.publish()


def silent_pool(stage: Stage) -> str:
    stage.pool(W1, silent_s=20)
    return stage.publish()


def older_pool(stage: Stage) -> str:
    stage.broker.register("q", S1, W1)
    return stage.publish()


def of_pool(**report: Any) -> Callable[[Stage], str]:
    def build(stage: Stage) -> str:
        stage.pool(W1, **report)
        return stage.publish()

    return build


def failing(stage: Stage) -> str:
    message_id = stage.publish()
    stop = stage.mq.consume_message_from_queue("q", lambda _body: 1 / 0)
    eventually(lambda: stage.mq.stats("q").delayed == 1)
    stop()
    return message_id


def failing_overdue(stage: Stage) -> str:
    message_id = failing(stage)
    stage.redis.zadd("bizzmq:{q}:delayed", {message_id: time.time() * 1000 - 3000})
    return message_id


def nothing() -> None:
    """A task."""


def of_task(version: int, known: bool) -> Callable[[Stage], str]:
    def build(stage: Stage) -> str:
        newer, older = App(stage.url), App(stage.url)
        message_id = newer.task(nothing, name="a.task", queue="q", version=version).publish().id
        older.task(nothing, name="a.task" if known else "other", queue="q")
        handler: Any = older.__bizzmq_handler__()
        stop = stage.mq.consume_message_from_queue("q", handler)
        eventually(lambda: stage.mq.stats("q").delayed == 1)
        stop()
        newer.close()
        older.close()
        return message_id

    return build


def quarantined(stage: Stage) -> str:
    message_id = stage.publish()
    stage.pool(W1)
    stage.claim()
    record = b'{"error_type":"WorkerCrashed","error":"its worker died 3 times while running it","failed_at":"then"}'
    stage.broker.requeue("q", W1, DeadWorker("crash", running=message_id, crash_limit=1, record=record))  # type: ignore[arg-type]
    return message_id


def crashed_once(stage: Stage) -> str:
    message_id = stage.publish()
    stage.pool(W1)
    stage.claim()
    stage.broker.requeue("q", W1, DeadWorker("crash", running=message_id))  # type: ignore[arg-type]
    return message_id


def held(stage: Stage, **report: Any) -> str:
    message_id = stage.publish()
    running = (RunningMessage(W1, message_id, 7.4, 1),)
    stage.pool(W1, busy=1, running=running, **report)
    stage.claim()
    return message_id


def silent_holder(stage: Stage) -> str:
    message_id = held(stage)
    stage.pool(W1, silent_s=8.2)
    return message_id


def silent_for_long(stage: Stage, *, others: bool) -> str:
    message_id = held(stage)
    stage.pool(W1, silent_s=60)
    if others:
        stage.pool(W3, supervisor=S2)
    return message_id


def held_behind(stage: Stage) -> str:
    first, second = stage.publish(), stage.publish()
    stage.pool(W1, busy=1, running=(RunningMessage(W1, first, 7.4, 1),))
    stage.claim(2)
    return second


def just_claimed(stage: Stage) -> str:
    message_id = stage.publish()
    stage.pool(W1)
    stage.claim()
    return message_id


def ended(handler: Callable[..., Any], queue: str = "q", **options: Any) -> Callable[[Stage], str]:
    def build(stage: Stage) -> str:
        stage.mq.create_queue("plain", QueueOptions(max_retries=0))
        message_id = stage.publish(queue=queue, **options)
        stage.consume(handler, queue)
        return message_id

    return build


def reject(_body: Any) -> None:
    raise Reject("unreadable \x1b[31m picture")


def deleted_letter(stage: Stage) -> str:
    message_id = ended(reject, result_ttl_s=60)(stage)
    assert stage.mq.delete("q_dlq", message_id)
    return message_id


def parked(stage: Stage) -> str:
    message_id = ended(reject)(stage)
    stage.consume(lambda _body: 1 / 0, "q_dlq")
    return message_id


def cancelled(stage: Stage) -> str:
    message_id = stage.publish(result_ttl_s=60)
    assert stage.mq.cancel(message_id, "q", by="ada", reason="wrong month")
    return message_id


def paused(stage: Stage, **what: Any) -> str:
    stage.pool(W1)
    stage.mq.pause("q", by="ada", reason="a migration", **what)
    return stage.publish(key="tenant-7")


def put_aside(stage: Stage) -> str:
    message_id = paused(stage, key="tenant-7", for_s=3600)
    stage.claim(0)
    return message_id


def aside_for_long(stage: Stage, *, pools: bool) -> str:
    message_id = put_aside(stage)
    stage.redis.delete("bizzmq:{q}:pauses")
    if not pools:
        stage.redis.delete("bizzmq:{q}:supervisors", "bizzmq:{q}:workers")
    return message_id


def cancelled_while(build: Callable[[Stage], str]) -> Callable[[Stage], str]:
    def also(stage: Stage) -> str:
        message_id = build(stage)
        assert stage.mq.cancel(message_id, "q", by="ada", reason="wrong month")
        return message_id

    return also


def cancelled_then_returned(stage: Stage) -> str:
    """As a worker of an earlier version does it, which does not know cancels."""
    message_id = cancelled_while(just_claimed)(stage)
    stage.redis.rpoplpush(f"bizzmq:{{q}}:processing:{W1}", "bizzmq:{q}:waiting")
    return message_id


def expiring(**options: Any) -> Callable[[Stage], str]:
    def build(stage: Stage) -> str:
        message_id = stage.publish(expires_s=0.05, **options)
        eventually(lambda: stage.mq.status("q", message_id).state == "expired")
        return message_id

    return build


def never_started(stage: Stage) -> str:
    message_id = expiring(result_ttl_s=60)(stage)
    stage.pool(W1)
    stage.claim(0)
    return message_id


def scheduled(stage: Stage) -> str:
    stage.pool(W1)
    stage.mq.schedule("nightly", "q", 1, every_s=3600)
    stage.redis.zadd("bizzmq:{q}:due", {"nightly": int(time.time() * 1000) - 1000})
    scheduler = Scheduler(stage.broker, None)
    scheduler.note("q", has_schedules=True)
    scheduler.tick(Lease(stage.broker, S1, ["q"]))
    (message,) = stage.mq.messages("q").messages
    return message.id


def duplicate(stage: Stage) -> str:
    app = App(stage.url)
    task = app.task(nothing, name="a.task", queue="q").using(unique_key="k")
    first, second = task.publish(), task.publish()
    app.close()
    assert (second.id, second.duplicate) == (first.id, True)
    return second.id


def deleted_queue(stage: Stage) -> str:
    message_id = stage.publish()
    stage.mq.delete_queue("q", with_messages=True)
    return message_id


def id_of(age_s: float) -> Callable[[Stage], str]:
    return lambda _stage: MessageIds("abcdefg").take(int((time.time() - age_s) * 1e6), 1)[0]


class Row(NamedTuple):
    situation: str
    build: Callable[[Stage], str]
    sentence: str


ROWS = {
    "behind others": Row("behind_others", behind_others,
                         r"waiting behind 4 others, published [\d.]+ s ago; 0 of 2 workers of this queue are busy"),
    "behind many": Row("all_busy", behind_many,
                       r"waiting behind 29,000 others, .*"),
    "all workers are busy": Row("all_busy", busy_workers, r"waiting as the first, published [\d.]+ s ago; "
                                r"2 of 2 workers of this queue are busy, the longest for 12 s"),
    "all workers are busy with another queue": Row("all_busy", busy_elsewhere, r"waiting .* busy, the longest for 4 s"),
    "next": Row("next", next_one, r"next to be claimed; waiting as the first, .*; 1 of 2 workers .* is busy.*"),
    "next, for a pool without reports": Row("next", older_pool, r"next to be claimed; .* 0 of 1 worker .* are busy"),
    "no worker": Row("no_worker", lambda stage: stage.publish(), r"no worker serves queue 'q'; waiting as .*"),
    "no worker yet": Row("no_worker", lambda stage: (stage.pool(), stage.publish())[1],
                         r"no worker serves queue 'q' yet: the pool on host host-a has none; .*"),
    "the only pool is silent": Row("no_worker", silent_pool, r"no worker serves queue 'q': the last pool, on host "
                                   r"host-a, has been silent for 2\d s; waiting .*"),
    "paused pool": Row("pools_paused", of_pool(state=PAUSED), r"the pool on host host-a .* is paused; waiting .*"),
    "draining pool": Row("pools_draining", of_pool(state=DRAINING), r"the pool on host host-a .* is draining; .*"),
    "closed queue": Row("pools_closed", of_pool(closed_s=9.5), r"no pool claims from queue 'q' for 9 s more, .*"),
    "after a crash": Row("no_worker", crashed_once, r".* first, published [\d.]+ s ago, after 1 crash of its .*"),
    "delayed by a retry": Row("delayed_by_retry", failing,
                              r"delayed: retry 1 of 5 after ZeroDivisionError: division by zero, due in [1-6]\d s"),
    "an overdue retry": Row("delayed_by_retry", failing_overdue,
                            r"delayed: .*, due since \d s, but no worker serves .*"),
    "delayed by its publisher": Row("delayed_by_publisher", lambda stage: stage.publish(delay_s=7230),
                                    r"delayed by its publisher: due in 2 h"),
    "unknown task": Row("unknown_task", of_task(1, known=False), r"waits for a worker that knows its task: this worker "
                        r"has no task 'a.task'; put back 1 time without blame; due in [\d.]+ s"),
    "newer version": Row("newer_version", of_task(2, known=True), r"waits for a worker that knows its task: version 2 "
                         r"of task 'a.task' is newer than this worker's 1; .*"),
    "quarantined": Row("quarantined", quarantined,
                       r"quarantined in q_dlq at then: its worker died 3 times while running it"),
    "running": Row("running", held, r"being handled for 7 s: delivery 1, by worker host-a:boot:11:AAAAAAA/0.aaaa"),
    "just claimed": Row("running", just_claimed, r"being handled: delivery 1, by worker .*"),
    "claimed behind another": Row("claimed", held_behind, r"claimed by a worker on host host-a, behind 1 other message "
                                  r"that it holds, the first of which has run for 7 s"),
    "being drained": Row("held_by_draining_pool", lambda stage: held(stage, state=DRAINING), r"held by a pool on host "
                         r"host-a that is draining, where it has run for 7 s: it finishes in time, or is put back .*"),
    "silent host": Row("held_by_silent_host", silent_holder, r"claimed by a worker on host host-a, which has been "
                       r"silent for 8 s: its lease runs for 6 s more, then the message is requeued"),
    "silent host, and another pool": Row("held_by_silent_host", lambda stage: silent_for_long(stage, others=True),
                                         r"claimed by .*: its lease is over, and another pool requeues the message .*"),
    "silent host, and no other pool": Row("held_by_silent_host", lambda stage: silent_for_long(stage, others=False),
                                          r"claimed by .*: its lease is over, and no other pool serves the queue .*"),
    "done with a result": Row("succeeded", ended(lambda body: body, result_ttl_s=60),
                              r"done [\d.]+ s ago, in delivery 1, which took 0.0 s; its result is kept"),
    "done without a result": Row("ended", ended(lambda body: body), r"queue 'q' does not store it: published [\d.]+ s "
                                 r"ago, it has ended and kept no result .*"),
    "discarded": Row("discarded", ended(lambda _body: 1 / 0, "plain", result_ttl_s=60), r"discarded [\d.]+ s ago, "
                     r"since its queue keeps no dead letters: ZeroDivisionError: division by zero"),
    "dead-lettered": Row("dead_lettered", ended(reject), r"dead-lettered after delivery 1 at 2\d+-.*Z: "
                         r"Reject: unreadable \\x1b\[31m picture"),
    "parked": Row("dead_lettered", parked, r"dead-lettered after .* picture; the handler of q_dlq has failed, too: "
                  r"ZeroDivisionError: division by zero"),
    "its dead letter was deleted": Row("failed_and_deleted", deleted_letter, r"dead-lettered [\d.]+ s ago, and no "
                                       r"longer stored: Reject: unreadable .*"),
    "cancelled": Row("cancelled", cancelled, r"cancelled by ada: wrong month; that was [\d.]+ s ago"),
    "paused queue": Row("paused", paused, r"queue q is paused by ada since [\d.]+ s: a migration; waiting as the .*"),
    "paused key": Row("paused", lambda stage: paused(stage, key="tenant-7"),
                      r"key tenant-7 is paused by ada .*; waiting .*"),
    "put aside": Row("paused", put_aside,
                     r"put aside: key tenant-7 is paused by ada since [\d.]+ s, for 59 min \d+ s more: a migration"),
    "put aside for too long": Row("paused", lambda stage: aside_for_long(stage, pools=True), r"put aside for a pause "
                                  r"that is over: a pool returns it to the queue at its next look"),
    "put aside, and no pool": Row("paused", lambda stage: aside_for_long(stage, pools=False), r"put aside for .* is "
                                  r"over: no pool serves the queue to return it"),
    "being cancelled": Row("being_cancelled", cancelled_while(held), r"being cancelled by ada: wrong month \(asked at "
                           r"2\d+-.*Z\); being handled for 7 s: delivery 1, by worker .*"),
    "being cancelled on a silent host": Row("being_cancelled", cancelled_while(silent_holder), r"being cancelled .*; "
                                            r"its host is silent: it ends as soon as the lease is over, in 6 s"),
    "cancelled, and returned": Row("being_cancelled", cancelled_then_returned,
                                   r"being cancelled .*; the next worker ends it"),
    "expired, and still waiting": Row("expired", expiring(), r"expired [\d.]+ s ago: it is not started any more, and "
                                      r"the next worker removes it"),
    "expired": Row("expired", never_started, r"expired [\d.]+ s ago: no worker has started it in time"),
    "of a schedule": Row("next", scheduled, r"next to be claimed; .*; published by schedule nightly"),
    "a duplicate": Row("no_worker", duplicate, r"no worker serves queue 'q'; waiting as the first, .*"),
    "no id": Row("never_published", lambda _stage: "nonsense", r"no queue has heard of it: this is not the id .*"),
    "older than its queue": Row("never_published", id_of(3600), r"queue 'q' has not heard of it: it was created .*"),
    "from the future": Row("never_published", id_of(-3600), r"no queue .*: its id is from .* in the future"),
    "its queue was deleted": Row("no_queue", deleted_queue, r"there is no queue 'q': it was deleted .*"),
}  # fmt: skip


@pytest.fixture
def stage(mq: BizzMQ, broker: Broker, redis: Redis, url: str) -> Stage:
    return Stage(mq, broker, redis, url)
