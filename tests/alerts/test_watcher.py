"""The watcher on a real server: each kind of alert, once when it begins and once when it is over."""

from __future__ import annotations

import time
from typing import Any, Callable

import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.alerts.rules import Limits, Rules
from bizzmq.alerts.senders import Notice
from bizzmq.alerts.watcher import Watcher
from bizzmq.broker.broker import Broker, open_broker
from bizzmq.errors import BrokerUnavailableError
from bizzmq.metrics.columns import CAUSES, DEATHS, OUTCOMES
from bizzmq.metrics.history import measured_bytes
from bizzmq.metrics.steps import Step
from bizzmq.protocol.pool_report import PoolReport
from bizzmq.testing.wait import eventually
from tests.alerts.recorder import OFF, Recorder, only

NO_WORKER = {"no_worker": 0}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def q(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    return "q"


def watcher(
    broker: Broker, rules: Rules, recorder: Recorder, wait: Callable[[float], Any] = lambda _s: None
) -> Watcher:
    return Watcher(broker, rules, recorder, wait)


def measure(broker: Broker, **cells: int) -> None:
    """A pool reports what it has measured: columns of `deaths` and `outcomes` by name."""
    columns = {name: index for index, name in enumerate(OUTCOMES)}
    columns.update({name: DEATHS + index for index, name in enumerate(CAUSES)})
    step = Step()
    step.rows[""] = step.total = {columns[name]: count for name, count in cells.items()}
    assert broker.add_metrics("q", "s1", int(time.time() * 1000), measured_bytes(step)) is not None


def test_an_alert_is_sent_once_by_two_watchers_and_one_that_is_restarted(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    first, second = (watcher(broker, only(**NO_WORKER), recorder) for _ in range(2))
    assert first.look() == []
    mq.publish_message_to_queue(q, 1)

    for one in (first, second, first):
        assert one.look() == ["q has 1 message waiting, and no worker"]
    assert watcher(broker, only(**NO_WORKER), recorder).look(), "a watcher that was started again"

    assert recorder.sent == [("no-worker", "begin", "q")]
    assert recorder.notices[0].value == 1
    mq.purge("q")
    for one in (second, first):
        assert one.look() == []
    assert recorder.sent[1:] == [("no-worker", "over", "q")]
    assert recorder.notices[0].as_dict()["id"] == recorder.notices[1].as_dict()["id"]
    assert redis.exists("bizzmq:{q}:alerts") == 0


def test_an_alert_that_must_hold_is_sent_when_it_has_held(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    mq.publish_message_to_queue(q, 1)
    one = watcher(broker, only(no_worker=3600), recorder)
    assert one.look() == []
    phase, since, *rest = redis.hget("bizzmq:{q}:alerts", "no-worker").split(" ")
    redis.hset("bizzmq:{q}:alerts", "no-worker", " ".join([phase, str(int(since) - 3_600_000), *rest]))

    assert len(one.look()) == 1

    assert recorder.sent == [("no-worker", "begin", "q")]
    assert recorder.notices[0].at_s - recorder.notices[0].since_s >= 3600


def test_what_could_not_be_sent_is_sent_later_and_what_is_over_by_then_is_not(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    mq.publish_message_to_queue(q, 1)
    one, recorder.fails = watcher(broker, only(**NO_WORKER), recorder), True

    assert len(one.look()) == 1, "it holds, whether or not it could be sent"
    assert redis.hget("bizzmq:{q}:alerts", "no-worker").startswith("u ")
    recorder.fails = False
    assert len(one.look()) == 1
    assert recorder.sent == [], "not before a minute"
    _let_time_pass(redis, "no-worker")
    assert len(one.look()) == 1

    assert recorder.sent == [("no-worker", "begin", "q")]


def _let_time_pass(redis: Redis, kind: str) -> None:
    """The watcher that sends has no time left."""
    phase, since, _, tries, owner = redis.hget("bizzmq:{q}:alerts", kind).split(" ")
    redis.hset("bizzmq:{q}:alerts", kind, f"{phase} {since} 1 {tries} {owner}")


def test_another_watcher_sends_what_a_dead_one_was_sending(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    class Dying(Recorder):
        def send(self, _notice: Any) -> None:
            raise KeyboardInterrupt

    mq.publish_message_to_queue(q, 1)
    with pytest.raises(KeyboardInterrupt):
        watcher(broker, only(**NO_WORKER), Dying()).look()
    other = watcher(broker, only(**NO_WORKER), recorder)
    other.look()
    assert recorder.sent == [], "the first one may still be sending"

    _let_time_pass(redis, "no-worker")
    other.look()

    assert recorder.sent == [("no-worker", "begin", "q")]


class Mortal:
    """A broker and a sender whose watcher dies after some steps: requests and sends."""

    def __init__(self, broker: Broker, recorder: Recorder, steps: int) -> None:
        self.connection, self.longest_s, self.left = broker.connection, recorder.longest_s, steps
        self._broker, self._recorder = broker, recorder

    def perform(self, operation: Any) -> Any:
        self._step()
        return self._broker.perform(operation)

    def send(self, notice: Notice) -> None:
        self._step()
        self._recorder.send(notice)

    def _step(self) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1


def test_whenever_a_watcher_dies_another_one_sends_the_alert_and_its_end(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    """Not again, unless the first one dies between the send and the note of it."""
    rules = only(**NO_WORKER)

    def look(steps: int, state: str) -> bool:
        """Whether the first watcher dies."""
        recorder.notices.clear()
        mortal, has_died = Mortal(broker, recorder, steps), False
        try:
            Watcher(mortal, rules, mortal).look()  # type: ignore[arg-type] # it has what a watcher uses
        except KeyboardInterrupt:
            has_died = True
        note = redis.hget("bizzmq:{q}:alerts", "no-worker") or ""
        is_repeated = bool(recorder.sent) and note.startswith(("b ", "e "))
        if note:
            _let_time_pass(redis, "no-worker")
        watcher(broker, rules, recorder).look()
        assert recorder.sent == [("no-worker", state, "q")] * (1 + is_repeated), f"{steps} steps"
        return has_died

    for steps in range(100):
        mq.publish_message_to_queue(q, 1)
        begin_died = look(steps, "begin")
        mq.purge(q)
        end_died = look(steps, "over")
        assert redis.exists("bizzmq:{q}:alerts") == 0
        if not begin_died and not end_died:
            break
    assert steps > 5


def test_an_alert_is_not_repeated_because_redis_was_away_when_it_was_to_be_noted(private_server: Any) -> None:
    server = private_server(persistence="aof")

    class Interrupted(Recorder):
        def send(self, notice: Notice) -> None:
            super().send(notice)
            server.kill()

    recorder = Interrupted()
    with BizzMQ(server.url) as mq, open_broker(server.url) as broker:
        mq.create_queue("q")
        mq.publish_message_to_queue("q", 1)
        one = watcher(broker, only(**NO_WORKER), recorder)
        with pytest.raises(BrokerUnavailableError):
            one.look()
        server.start()

        (held,) = eventually(one.look, 30.0, ignoring=(BrokerUnavailableError,))
        assert held == "q has 1 message waiting, and no worker"
        with server.client() as redis:
            assert redis.hget("bizzmq:{q}:alerts", "no-worker").startswith("s ")
    assert recorder.sent == [("no-worker", "begin", "q")]


def test_a_message_waits_too_long_unless_it_goes_at_once(
    mq: BizzMQ, broker: Broker, recorder: Recorder, q: str
) -> None:
    mq.publish_message_to_queue(q, 1)
    rules = only(oldest_waiting=0)
    assert watcher(broker, rules, recorder, lambda _s: mq.purge(q)).look() == [], "as one whose delay has just ended"
    mq.publish_message_to_queue(q, 2)
    mq.pause(q, by="ada", reason="a migration")

    (sentence,) = watcher(broker, rules, recorder).look()

    assert recorder.sent == [("oldest-waiting", "begin", "q")]
    assert sentence.startswith("q has waited ")
    assert "paused by ada" in sentence
    mq.purge(q)
    watcher(broker, rules, recorder).look()
    assert recorder.sent[1:] == [("oldest-waiting", "over", "q")]


@pytest.mark.parametrize(("waiting", "priority"), [(3, 0), (3, 5), (250, 0)])
def test_a_backlog_that_is_emptied_too_slowly_is_late_although_its_oldest_message_changes(
    mq: BizzMQ, broker: Broker, recorder: Recorder, q: str, waiting: int, priority: int
) -> None:
    ids = mq.publish_messages_to_queue(q, range(waiting), MessageOptions(priority=priority))

    def handle_most(_s: float) -> None:
        for one in ids[: waiting - 1 if waiting < 100 else 120]:
            mq.delete(q, one)
        ids.clear()

    rules = only(oldest_waiting=0)
    for _ in range(2):
        assert len(watcher(broker, rules, recorder, handle_most).look()) == 1
    assert recorder.sent == [("oldest-waiting", "begin", "q")]


def test_a_message_whose_delay_has_just_ended_behind_another_one_is_not_late(
    mq: BizzMQ, broker: Broker, recorder: Recorder, q: str
) -> None:
    mq.publish_message_to_queue(q, 1)

    def others_turn(_s: float) -> None:
        mq.purge(q)
        mq.publish_message_to_queue(q, 2)

    assert watcher(broker, only(oldest_waiting=0), recorder, others_turn).look() == []
    assert recorder.sent == []


def test_new_dead_letters_and_deaths_of_workers(broker: Broker, recorder: Recorder, q: str) -> None:
    measure(broker, dead_lettered=1, sigsegv=2, oom=1, timeout=9)

    held = watcher(broker, only(dead_letters=2, worker_deaths=4), recorder).look()
    assert held == [], "below the limits; what a message's limit has killed does not count"
    measure(broker, dead_lettered=1, exit=1)
    held = watcher(broker, only(dead_letters=2, worker_deaths=4), recorder).look()

    assert held == [
        "q has 2 new dead letters in 5 min", "q: 4 workers have died in 5 min: 2 sigsegv, 1 exit, 1 oom",
    ]  # fmt: skip
    assert recorder.sent == [("dead-letters", "begin", "q"), ("worker-deaths", "begin", "q")]


def test_a_dead_letter_of_a_real_handler_counts(mq: BizzMQ, broker: Broker, recorder: Recorder, q: str) -> None:
    def fail(_body: Any) -> None:
        raise ValueError

    mq.update_queue(q, {"max_retries": 0})
    mq.publish_message_to_queue(q, 1)
    mq.consume_until_empty(q, fail, timeout_s=30)

    assert watcher(broker, only(dead_letters=1), recorder).look() == ["q has 1 new dead letter in 5 min"]


def test_a_schedule_that_has_not_fired(mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str) -> None:
    mq.schedule("nightly", q, {}, every_s=3600)
    one = watcher(broker, only(late_schedule=60), recorder)
    assert one.look() == []
    redis.zadd("bizzmq:{q}:due", {"nightly": (time.time() - 90) * 1000})

    (sentence,) = one.look()

    assert sentence.startswith("q: a schedule has not fired for 1 min")
    assert sentence.endswith(": nightly")
    mq.remove_schedule("nightly")
    one.look()
    assert recorder.sent == [("late-schedule", "begin", "q"), ("late-schedule", "over", "q")]


def test_a_silent_pool_is_one_alert_though_it_serves_two_queues(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    mq.create_queue("r")
    for queue in (q, "r"):
        broker.register(queue, "host.1.2.7", "w1")
        assert broker.report(queue, "host.1.2.7", PoolReport(workers=1).encode(), 600_000)
        key = f"bizzmq:{{{queue}}}:pool:host.1.2.7"
        stamp, _, report = redis.get(key).partition(" ")
        redis.set(key, f"{int(stamp) - 20_000} {report}")

    held = watcher(broker, only(silent_pool=15), recorder).look()

    assert len(held) == 1
    assert "has been silent for 20 s" in held[0]
    assert len(recorder.sent) == 1


def test_a_queue_that_cannot_be_used_and_a_deleted_one(
    mq: BizzMQ, broker: Broker, redis: Redis, recorder: Recorder, q: str
) -> None:
    mq.create_queue("r")
    mq.publish_message_to_queue("r", 1)
    one = watcher(broker, only(unusable_queue=0, no_worker=0), recorder)
    redis.delete("bizzmq:{q}:stats")
    redis.set("bizzmq:{q}:stats", "x")

    assert len(one.look()) == 2
    assert recorder.sent == [("unusable-queue", "begin", "q"), ("no-worker", "begin", "r")]
    redis.delete("bizzmq:{q}:stats")
    assert redis.exists("bizzmq:{r}:alerts")
    mq.delete_queue("r", with_messages=True)

    assert one.look() == []
    assert recorder.sent[2:] == [("unusable-queue", "over", "q")]
    assert redis.exists("bizzmq:{r}:alerts") == 0


def test_limits_of_one_queue_and_named_queues(mq: BizzMQ, broker: Broker, recorder: Recorder, q: str) -> None:
    for queue in ("r", "s"):
        mq.create_queue(queue)
    for queue in (q, "r", "s"):
        mq.publish_message_to_queue(queue, 1)
    rules = Rules({**OFF, "no-worker": Limits(0.0, {"r": None})}, ("q", "r", "gone"))

    watcher(broker, rules, recorder).look()

    assert recorder.sent == [("no-worker", "begin", "q")]


def test_redis_that_is_away_is_an_alert_when_it_lasts(private_server: Any, recorder: Recorder) -> None:
    server = private_server()
    with open_broker(server.url) as broker:
        one = watcher(broker, only(redis_away=0), recorder)
        patient = watcher(broker, only(redis_away=3600), Recorder())
        one.look_or_note()
        server.kill()
        for _ in range(2):
            one.look_or_note()
            patient.look_or_note()
        assert recorder.sent == [("redis-away", "begin", "")]
        server.start()

        def is_back() -> bool:
            one.look_or_note()
            return len(recorder.sent) == 2

        eventually(is_back, 30.0)
        assert recorder.sent[1] == ("redis-away", "over", "")
