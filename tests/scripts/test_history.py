"""What happens to a message is noted by the scripts that do it, for queues whose options ask for it."""

from __future__ import annotations

import json
import time
from typing import Callable, List

import pytest
from redis import Redis

from bizzmq import BizzMQ, HistoryEntry, MessageOptions, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.broker.workers import DeadWorker, DeathKind
from bizzmq.protocol.keys import QueueKeys
from bizzmq.protocol.results import KeptResult
from tests.scripts.table_repairs import requeueing_unplaced

K = QueueKeys("q")
OPTIONS = QueueOptions(config_dead_letter_queue=True, history=True)
S1 = "host-a:boot:11:AAAAAAA"
W1, W2 = f"{S1}/0.aaaa", f"{S1}/1.bbbb"
RECORD = json.dumps({"error_type": "ValueError", "error": "no\tway\nat all", "worker": W1}).encode()
WHY = "ValueError: no way at all"
KEPT = KeptResult(b"60000", b"succeeded\t1\t1\t2\n5")


class Scene:
    """A queue `q` that keeps histories, with two registered workers."""

    def __init__(self, mq: BizzMQ, broker: Broker) -> None:
        self.mq, self.broker = mq, broker
        mq.create_queue("q", OPTIONS)
        for worker in (W1, W2):
            broker.register("q", S1, worker)
            broker.register("q_dlq", S1, worker)

    def publish(self, **options: float) -> str:
        return self.mq.publish_message_to_queue("q", 1, MessageOptions(**options))  # type: ignore[arg-type]

    def claimed(self, queue: str = "q", worker: str = W1, **options: float) -> str:
        """A message that the worker holds."""
        message_id = self.publish(**options)
        self.claim(queue, worker)
        return message_id

    def claim(self, queue: str = "q", worker: str = W1) -> None:
        assert self.broker.claim(queue, worker, 10).entries

    def retry(self, message_id: str, after: str = "1 0 0 0\t\t!ValueError: no", delay_ms: int = 0) -> None:
        before = self.mq.find(message_id).retry_count  # type: ignore[union-attr]
        stored = "0 0 0 0" if not before else f"{before} 0 0 0\t\t!ValueError: no"
        assert self.broker.retry("q", W1, message_id, stored, after, delay_ms)

    def entries(self, message_id: str) -> List[HistoryEntry]:
        history = self.mq.history(message_id)
        assert history.is_recorded
        return list(history.entries)

    def events(self, message_id: str) -> List[str]:
        return [entry.event for entry in self.entries(message_id)]


@pytest.fixture
def scene(mq: BizzMQ, broker: Broker) -> Scene:
    return Scene(mq, broker)


def test_a_message_that_fails_and_comes_back(scene: Scene) -> None:
    before_s = time.time()
    message_id = scene.claimed()
    scene.retry(message_id, delay_ms=1)
    while not scene.broker.claim("q", W2, 10).entries:
        pass
    scene.broker.dead_letter("q", W2, message_id, "1 0 0 0\t\t!ValueError: no", RECORD)
    scene.mq.replay("q", message_id)

    published, claimed, retried, promoted, again, dead, replayed = scene.entries(message_id)
    assert (published.event, published.worker, published.why, claimed.why) == ("published", "", "", "")
    assert (claimed.event, claimed.worker, claimed.host, claimed.delivery) == ("claimed", W1, "host-a", 1)
    assert (retried.event, retried.worker, retried.why) == ("retried", W1, "ValueError: no")
    assert retried.until_s == pytest.approx((retried.at_s or 0) + 0.001, abs=0.01)
    assert (promoted.event, promoted.until_s) == ("promoted", retried.until_s)
    assert (again.event, again.worker, again.delivery) == ("claimed", W2, 2)
    assert (dead.event, dead.worker, dead.why) == ("dead_lettered", W1, "ValueError: no way at all")
    assert replayed.event == "replayed"
    times = [entry.at_s or 0.0 for entry in (published, claimed, retried, promoted, again, dead, replayed)]
    assert times == sorted(times)
    assert before_s - 1 < times[0] <= times[-1] < time.time() + 1


def released(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.release("q", W1, 1, [message_id], started=True)
    return message_id


def released_unstarted(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.release("q", W1, 1, [message_id])
    return message_id


def released_behind(scene: Scene) -> str:
    running, message_id = scene.publish(), scene.publish()
    scene.broker.requeue("q", W2, DeadWorker(DeathKind.STOPPED))
    scene.claim()
    assert scene.broker.release_prefetched("q", W1, running, 1) == 1
    return message_id


def dead(kind: DeathKind, *, ran: bool = True, **about: str) -> Callable[[Scene], str]:
    def build(scene: Scene) -> str:
        message_id = scene.claimed()
        running = message_id if ran else ""
        scene.broker.requeue("q", W1, DeadWorker(kind, running, crash_limit=2, record=RECORD, **about))  # type: ignore[arg-type]
        return message_id

    return build


def quarantined(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.requeue("q", W1, DeadWorker(DeathKind.CRASH, message_id, crash_limit=1, record=RECORD))
    return message_id


def parked(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.dead_letter("q", W1, message_id, "0 0 0 0", RECORD)
    scene.claim("q_dlq")
    scene.broker.dead_letter("q_dlq", W1, message_id, "0 0 0 0", RECORD)
    return message_id


def cancel_requested(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.mq.cancel(message_id, "q", by="ada", reason="wrong")
    return message_id


def put_back(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.retry("q", W1, message_id, "0 0 0 0", "0 0 1 0\t\t!UnknownTaskError: x", 60_000, is_failure=False)
    return message_id


def found_nowhere(scene: Scene) -> str:
    message_id = scene.publish()
    scene.broker.connection.execute("DEL", K.waiting)
    assert requeueing_unplaced(message_id)(scene.broker) == 1
    return message_id


def held_by_no_worker(scene: Scene) -> str:
    message_id = scene.claimed()
    scene.broker.connection.execute("HDEL", K.workers, W1)
    assert scene.broker.requeue_unregistered("q", W1.encode()) == 1
    return message_id


LAST = {
    "released": (released, "released", "its pool is draining"),
    "released before its start": (released_unstarted, "released", "not started"),
    "released behind a long one": (released_behind, "released", "not started"),
    "crashed": (dead(DeathKind.CRASH), "requeued", WHY),
    "stopped": (dead(DeathKind.STOPPED), "requeued", "its worker was stopped"),
    "stopped before its start": (dead(DeathKind.STOPPED, ran=False), "requeued", "not started"),
    "silent": (dead(DeathKind.SILENT), "requeued", "its pool was silent"),
    "a limit": (
        dead(DeathKind.FAILED, outcome="retry", attempts_after="1 0 0 0\t\t!MessageTimeout: t"),
        "retried", "MessageTimeout: t",
    ),
    "a limit, dead-lettered": (dead(DeathKind.FAILED, outcome="dead-letter"), "dead_lettered", WHY),
    "quarantined": (quarantined, "dead_lettered", WHY),
    "parked": (parked, "parked", WHY),
    "an unknown task": (put_back, "requeued", "UnknownTaskError: x"),
    "nowhere": (found_nowhere, "requeued", "the audit found it nowhere"),
    "held by a worker that is not registered": (held_by_no_worker, "requeued", "its worker was not registered"),
    "a cancel": (cancel_requested, "cancel_requested", "cancelled by ada: wrong"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAST)
def test_the_last_event_of_a_message_that_stays(scene: Scene, name: str) -> None:
    build, event, why = LAST[name]

    message_id = build(scene)

    last = scene.entries(message_id)[-1]
    assert (last.event, last.why) == (event, why)
    assert last.in_dead_letters == (event == "parked")


@pytest.mark.parametrize(("kind", "why"), [(DeathKind.CRASH, WHY), (DeathKind.STOPPED, "its worker was stopped")])
def test_only_the_running_message_of_a_dead_worker_has_its_reason(scene: Scene, kind: DeathKind, why: str) -> None:
    running, other = scene.publish(), scene.publish()
    scene.broker.requeue("q", W2, DeadWorker(DeathKind.STOPPED))
    scene.claim()

    scene.broker.requeue("q", W1, DeadWorker(kind, running, crash_limit=2, record=RECORD))

    assert [scene.entries(one)[-1].why for one in (running, other)] == [why, "not started"]


def test_a_finished_message_that_has_lost_its_result_goes_back_for_that(scene: Scene) -> None:
    message_id = scene.claimed(result_ttl_s=60)

    scene.broker.requeue("q", W1, DeadWorker(DeathKind.STOPPED, "", message_id))

    assert scene.entries(message_id)[-1].why == "its result was lost"


def test_each_of_several_messages_is_promoted_and_claimed(scene: Scene) -> None:
    scene.broker.requeue("q", W2, DeadWorker(DeathKind.STOPPED))
    first, second = scene.claimed(), scene.claimed()
    scene.retry(first, "2 3 4 0\t\t!ValueError: no", delay_ms=1)
    scene.retry(second, "1 0 0 0\t\t!ValueError: no", delay_ms=2)
    time.sleep(0.003)
    scene.claim()

    for message_id, delivery in ((first, 10), (second, 2)):
        _, _, retried, promoted, claimed = scene.entries(message_id)
        assert (promoted.event, promoted.until_s) == ("promoted", retried.until_s)
        assert (claimed.event, claimed.delivery) == ("claimed", delivery)


def succeeded(scene: Scene) -> str:
    message_id = scene.claimed(result_ttl_s=60)
    scene.broker.finish("q", W1, [message_id.encode()], {message_id.encode(): KEPT})
    return message_id


def acked_for_the_dead(scene: Scene) -> str:
    message_id = scene.claimed(result_ttl_s=60)
    scene.broker.requeue("q", W1, DeadWorker(DeathKind.STOPPED, "", message_id, results={message_id: KEPT}))
    return message_id


def discarded(scene: Scene) -> str:
    message_id = scene.claimed(result_ttl_s=60)
    scene.broker.discard("q", W1, message_id, "0 0 0 0", RECORD)
    return message_id


def cancelled(scene: Scene) -> str:
    message_id = scene.publish(result_ttl_s=60)
    scene.mq.cancel(message_id, "q", by="ada")
    return message_id


def expired(scene: Scene) -> str:
    message_id = scene.publish(result_ttl_s=60, expires_s=0.001)
    time.sleep(0.002)
    assert not scene.broker.claim("q", W1, 10).entries
    return message_id


@pytest.mark.parametrize("build", [succeeded, acked_for_the_dead, discarded, cancelled, expired])
def test_the_history_of_an_ended_message_stays_with_its_result(
    scene: Scene, redis: Redis, build: Callable[[Scene], str]
) -> None:
    message_id = build(scene)

    last = scene.entries(message_id)[-1]
    assert last.event == scene.mq.status("q", message_id).state
    assert 0 < redis.pttl(K.result(message_id) + ":history") <= redis.pttl(K.result(message_id)) + 50
    assert redis.hkeys(K.extras) == ["history"]
    assert not redis.exists(K.history)


def test_without_a_result_it_ends_with_the_message(scene: Scene, redis: Redis) -> None:
    message_id = scene.claimed()
    scene.broker.claim("q", W1, 0, [message_id.encode()])

    assert redis.hkeys(K.extras) == ["history"]
    assert not redis.exists(K.history)
    assert not redis.keys("*result*")
    assert not scene.mq.history(message_id).entries


def test_the_first_two_and_the_last_thirty_are_kept(scene: Scene, redis: Redis) -> None:
    message_id = scene.claimed()
    for number in range(1, 41):
        scene.retry(message_id, f"{number} 0 0 0\t\t!ValueError: no")
        scene.claim()

    history = scene.mq.history(message_id)
    assert (len(history.entries), history.left_out) == (32, 82 - 32)
    assert [entry.delivery for entry in history.entries if entry.event == "claimed"] == [1, *range(27, 42)]
    assert len(redis.hget(K.history, message_id)) < 4000


def test_a_queue_without_the_option_notes_nothing(mq: BizzMQ, broker: Broker, redis: Redis) -> None:
    scene = Scene(mq, broker)
    mq.update_queue("q", {"history": False})
    message_id = scene.claimed(unique_key="k")
    scene.retry(message_id)

    assert not redis.exists(K.history)
    assert not mq.history(message_id).is_recorded

    mq.update_queue("q", {"history": True})
    scene.claim()

    assert scene.events(message_id) == ["published", "claimed"]


def test_the_option_of_a_dead_letter_queue_changes_nothing(scene: Scene, redis: Redis) -> None:
    scene.mq.update_queue("q_dlq", {"history": False})
    assert redis.hget(K.extras, "history") == "1"

    scene.mq.update_queue("q", {"history": False})
    scene.mq.update_queue("q_dlq", {"history": True})
    assert not redis.exists(K.extras)


def test_the_audit_leaves_the_mark_of_the_queue_and_removes_what_is_left(scene: Scene, redis: Redis) -> None:
    message_id = scene.claimed()
    redis.hset(K.history, "x" * 20, "0\n")

    assert scene.broker.find_leftovers("q", [b"history", message_id.encode(), b"x" * 20], []) == ["", "", "gone"]
    assert scene.broker.repair_leftovers("q", [b"history", message_id.encode(), b"x" * 20], []) == 1
    assert redis.hkeys(K.history) == [message_id]
    assert redis.hget(K.extras, "history") == "1"


@pytest.mark.parametrize("key", [K.extras, K.history])
def test_a_key_of_the_wrong_type_stops_no_transition(scene: Scene, redis: Redis, key: str) -> None:
    redis.delete(key)
    redis.set(key, "forged")

    message_id = scene.claimed()
    scene.retry(message_id)
    scene.claim()
    scene.broker.finish("q", W1, [message_id.encode()], {message_id.encode(): KEPT})

    assert not redis.exists(K.messages, K.processing(W1))
    assert redis.get(key) == "forged"


@pytest.mark.parametrize(
    "forged", ["", "x", "99\n", "-1\na\tb", "1e5\nx", "\xff\n\n\n", "3\n" + "\t" * 7, "0\n" + "x\n" * 99]
)
def test_a_forged_history_is_shown_without_what_is_unreadable(scene: Scene, redis: Redis, forged: str) -> None:
    message_id = scene.claimed()
    redis.hset(K.history, message_id, forged)

    scene.retry(message_id)

    assert scene.events(message_id)[-1] == "retried"
