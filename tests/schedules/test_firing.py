"""What a scheduler does with a schedule that is due: missed times, overlap, jitter, pauses, several schedulers."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from bizzmq import MessageOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.protocol.ids import published_us
from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from tests.schedules.conftest import HOUR_MS, Clockwork, Finish, K


def test_a_due_schedule_publishes_once_and_is_due_again_after_its_interval(clockwork: Clockwork) -> None:
    clockwork.add()
    due_ms = clockwork.set_due(ago_ms=1000)

    clockwork.tick()
    clockwork.tick()

    (message,) = clockwork.waiting()
    assert published_us(message) == due_ms * 1000
    assert clockwork.redis.zscore(K.due, "s") == due_ms + HOUR_MS
    info = clockwork.mq.show_schedule("s")
    assert (info.fired, info.skipped, info.last_message_id) == (1, 0, message)


def test_a_schedule_that_is_not_due_publishes_nothing(clockwork: Clockwork) -> None:
    clockwork.add()

    clockwork.tick()

    assert clockwork.waiting() == []


def test_of_many_schedulers_one_fires(clockwork: Clockwork) -> None:
    """Also if all have read the schedule as due: the due time is the fence."""
    clockwork.add(every_s=1, missed="all")
    clockwork.set_due(ago_ms=20_500)
    barrier = threading.Barrier(4)

    def fire() -> None:
        broker = Broker(Connection(clockwork.mq._url))
        mine = Clockwork(clockwork.mq, clockwork.redis, broker)
        barrier.wait()
        mine.tick()
        broker.connection.drop()

    threads = [threading.Thread(target=fire) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = clockwork.waiting()
    assert len(found) == len(set(found)) >= 21
    assert clockwork.mq.show_schedule("s").fired == len(found)


@pytest.mark.parametrize(("missed", "late_ms", "published", "skipped"), [
    ("last", 3 * HOUR_MS, 1, 0), ("skip", 3 * HOUR_MS, 0, 1), ("all", 3 * HOUR_MS, 4, 0),
    ("last", 30_000, 1, 0), ("skip", 30_000, 1, 0), ("all", 30_000, 1, 0), ("skip", 90_000, 0, 1),
])  # fmt: skip
def test_missed_times(clockwork: Clockwork, missed: str, late_ms: int, published: int, skipped: int) -> None:
    clockwork.add(missed=missed)
    clockwork.set_due(late_ms + 1000)

    clockwork.tick()

    assert len(clockwork.waiting()) == len(set(clockwork.waiting())) == published
    assert clockwork.mq.show_schedule("s").skipped == skipped
    assert 0 < clockwork.next_in_ms() <= HOUR_MS


def test_hundreds_of_missed_times_are_published_in_order(clockwork: Clockwork) -> None:
    clockwork.add(every_s=1, missed="all")
    due_ms = clockwork.set_due(350_500)

    clockwork.tick()

    found = [published_us(one) for one in clockwork.waiting()]
    assert found[:350] == [(due_ms + 1000 * n) * 1000 for n in range(350)]


def test_missed_times_of_a_cron_line(clockwork: Clockwork) -> None:
    clockwork.add(every_s=None, cron="0 0 * * *", missed="all")
    clockwork.set_due(3 * 24 * HOUR_MS)

    clockwork.tick()

    assert len(clockwork.waiting()) in (3, 4)
    assert 0 < clockwork.next_in_ms() <= 24 * HOUR_MS


def test_overlap_allow_publishes_beside_an_unfinished_message(clockwork: Clockwork) -> None:
    clockwork.add()

    for number in range(2):
        clockwork.set_due(1000 - number)
        clockwork.tick()

    assert len(clockwork.waiting()) == 2


def test_overlap_skip_leaves_out_times_until_the_last_message_is_finished(clockwork: Clockwork, finish: Finish) -> None:
    clockwork.add(overlap="skip")
    for number in range(3):
        clockwork.set_due(1000 - number)
        clockwork.tick()

    (first,) = clockwork.waiting()
    assert clockwork.mq.show_schedule("s").skipped == 2
    finish(first)
    clockwork.set_due(500)
    clockwork.tick()

    assert len(clockwork.waiting()) == 1
    assert clockwork.waiting() != [first]


def test_overlap_queue_one_publishes_once_when_the_last_message_is_finished(
    clockwork: Clockwork, finish: Finish
) -> None:
    clockwork.add(overlap="queue-one")
    for number in range(4):
        clockwork.set_due(1000 - number)
        clockwork.tick()

    (first,) = clockwork.waiting()
    assert 0 < clockwork.next_in_ms() <= 1001  # it looks again
    finish(first)
    clockwork.set_due(0)
    clockwork.tick()

    assert len(clockwork.waiting()) == 1
    assert clockwork.waiting() != [first]
    assert clockwork.next_in_ms() > 1000


@pytest.mark.parametrize("missed", ["last", "skip", "all"])
def test_an_occurrence_that_waits_does_not_move_the_later_ones(
    clockwork: Clockwork, finish: Finish, missed: str
) -> None:
    clockwork.add(overlap="queue-one", missed=missed)
    clockwork.set_due(3000)
    clockwork.tick()
    (first,) = clockwork.waiting()
    due_ms = clockwork.set_due(2000)
    clockwork.tick()
    for ended in ([], [first]):
        for message in ended:
            finish(message)
        put_off_ms = clockwork.redis.zscore(K.due, "s")
        assert put_off_ms is not None
        clockwork.redis.zadd(K.due, {"s": put_off_ms - 1500})
        clockwork.tick()

    assert clockwork.waiting() not in ([], [first])
    assert clockwork.redis.zscore(K.due, "s") == due_ms + HOUR_MS


def test_a_dead_letter_is_finished(clockwork: Clockwork) -> None:
    clockwork.add(overlap="skip")
    clockwork.set_due(1000)
    clockwork.tick()
    (message,) = clockwork.waiting()
    clockwork.redis.rename(K.waiting, Keys("q_dlq").waiting)
    clockwork.redis.rename(K.messages, Keys("q_dlq").messages)

    clockwork.set_due(500)
    clockwork.tick()

    assert len(clockwork.waiting()) == 1
    assert clockwork.waiting() != [message]


def test_jitter_and_delay_delay_the_message_and_not_the_schedule(clockwork: Clockwork) -> None:
    clockwork.mq.schedule("s", "q", 1, MessageOptions(delay_s=100), every_s=3600, jitter_s=50)
    due_ms = clockwork.set_due(1000)

    clockwork.tick()

    ((_, at_ms),) = clockwork.redis.zrange(K.delayed, 0, -1, withscores=True)
    assert 99_000 <= at_ms - due_ms <= 160_000
    assert clockwork.redis.zscore(K.due, "s") == due_ms + HOUR_MS


def test_the_message_is_the_one_that_was_given_with_its_options(clockwork: Clockwork) -> None:
    options = MessageOptions(priority=7, retries=9, timeout_s=3, headers={"trace": "1"})
    clockwork.mq.schedule("s", "q", {"to": "ada"}, options, every_s=3600)
    clockwork.set_due(1000)

    clockwork.tick()

    (message,) = clockwork.mq.messages("q").messages
    assert message.message is not None
    assert (message.body, message.priority, message.message.retries) == ({"to": "ada"}, 7, 9)
    assert message.message.properties is not None
    assert message.message.properties.headers == {"trace": "1"}


@pytest.mark.parametrize(
    ("terms", "fired", "skipped"),
    [
        ({"unique_key": "k"}, 1, 2),
        ({"unique_key": lambda body: f"k{body['n']}", "unique_for_s": 60}, 1, 2),
        ({"unique_key": "k", "unique_until": "started"}, 1, 2),
        ({"unique_key": "another"}, 3, 0),
    ],
)
def test_a_time_is_left_out_while_another_message_has_the_unique_key(
    clockwork: Clockwork, finish: Finish, terms: Any, fired: int, skipped: int
) -> None:
    """Also one that a publisher has published, and until it is finished: the last one here never is."""
    clockwork.add(options=MessageOptions(**terms))
    for _ in range(3):
        clockwork.set_due(ago_ms=0)
        clockwork.tick()
        if terms["unique_key"] == "another":
            finish(clockwork.waiting()[0])
    info = clockwork.mq.show_schedule("s")
    assert (info.fired, info.skipped) == (fired, skipped)
    assert clockwork.mq.stats("q").duplicates == skipped


def test_a_schedule_and_publishers_share_unique_keys(clockwork: Clockwork) -> None:
    options = MessageOptions(unique_key="k")
    clockwork.add(options=options)
    published = clockwork.mq.publish_message_to_queue("q", "by hand", options)
    clockwork.set_due(ago_ms=0)
    clockwork.tick()

    assert clockwork.waiting() == [published]
    assert clockwork.mq.run_schedule("s") == published
    assert clockwork.mq.publish_message_to_queue("q", "again", options) == published


def test_a_scheduled_message_expires(clockwork: Clockwork) -> None:
    clockwork.add(options=MessageOptions(expires_s=0.05))
    clockwork.set_due(ago_ms=0)
    clockwork.tick()
    (message,) = clockwork.waiting()
    eventually(lambda: clockwork.mq.status("q", message).state == "expired")

    assert clockwork.mq.consume_until_empty("q", print, timeout_s=10) == 0
    assert clockwork.mq.stats("q").expired == 1


@pytest.mark.parametrize("when_full", ["refuse", "drop-oldest"])
def test_a_full_queue_skips_or_drops(clockwork: Clockwork, when_full: str) -> None:
    clockwork.mq.update_queue("q", {"max_length": 2, "when_full": when_full})
    clockwork.add()
    before = clockwork.mq.publish_messages_to_queue("q", [1, 2])
    clockwork.set_due(ago_ms=0)
    clockwork.tick()

    info, stats = clockwork.mq.show_schedule("s"), clockwork.mq.stats("q")
    if when_full == "refuse":
        assert (info.fired, info.skipped, clockwork.waiting()) == (0, 1, before)
    else:
        assert (info.fired, info.skipped, clockwork.waiting()) == (1, 0, [before[1], info.last_message_id])
    assert (stats.dropped, stats.unaccounted) == (info.fired, 0)


def test_a_paused_schedule_does_not_fire_and_what_it_missed_is_left_out(clockwork: Clockwork) -> None:
    clockwork.add(missed="all")
    clockwork.set_due(1000)
    clockwork.mq.pause_schedule("s", by="ada", why="migration")

    clockwork.tick()
    info = clockwork.mq.show_schedule("s")
    assert (clockwork.waiting(), info.state, info.next_at_s) == ([], "paused", None)
    assert info.pause is not None
    assert (info.pause.by, info.pause.why, info.pause.until_s) == ("ada", "migration", None)

    clockwork.mq.resume_schedule("s")
    clockwork.tick()

    assert clockwork.waiting() == []
    assert clockwork.next_in_ms() > HOUR_MS - 60_000


def test_a_pause_ends_at_its_time(clockwork: Clockwork) -> None:
    clockwork.add()
    clockwork.mq.pause_schedule("s", until=datetime.now(timezone.utc) + timedelta(hours=1))
    clockwork.set_due(ago_ms=1000)

    clockwork.tick()

    assert clockwork.mq.show_schedule("s").state == "active"
    assert clockwork.waiting() == []
    assert clockwork.next_in_ms() > HOUR_MS - 60_000


def test_a_longer_pause_is_not_ended_by_a_scheduler_that_has_read_the_shorter_one(
    clockwork: Clockwork, broker: Broker
) -> None:
    clockwork.add()
    clockwork.mq.pause_schedule("s", until=datetime.now(timezone.utc) + timedelta(hours=1))
    clockwork.set_due(ago_ms=1000)
    (due,) = broker.due_schedules("q").due
    clockwork.mq.pause_schedule("s", why="longer")

    assert not broker.resume_schedule("q", "s", due.state.pause, "1000")

    assert clockwork.mq.show_schedule("s").state == "paused"


def test_a_damaged_schedule_is_logged_once_and_keeps_no_other_from_firing(
    clockwork: Clockwork, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(150):
        clockwork.redis.hset(K.schedules, f"bad{number:03}", "x")
        clockwork.redis.zadd(K.due, {f"bad{number:03}": 1000})
    clockwork.add()
    clockwork.set_due(1000)

    clockwork.tick()
    clockwork.tick()

    assert len(clockwork.waiting()) == 1
    assert len([record for record in caplog.records if "cannot fire" in record.getMessage()]) == 150


def test_a_schedule_whose_cron_line_is_forged_does_not_end_the_scheduler(clockwork: Clockwork) -> None:
    for name, line, zone in (("a", "x", "UTC"), ("b", "0 0 31 2 *", "UTC"), ("c", "0 0 * * *", "Mars")):
        clockwork.redis.hset(K.schedules, name, f'{{"cron":"{line}","timezone":"{zone}"}}\n1\n1')
        clockwork.redis.zadd(K.due, {name: 1000})
    clockwork.add()
    clockwork.set_due(1000)

    clockwork.tick()

    assert len(clockwork.waiting()) == 1


def test_a_new_interval_counts_from_now_and_another_message_keeps_the_due_time(clockwork: Clockwork) -> None:
    clockwork.add()
    due_ms = clockwork.set_due(-5000)

    clockwork.mq.schedule("s", "q", {"n": 2}, every_s=3600)
    assert clockwork.redis.zscore(K.due, "s") == due_ms

    clockwork.mq.schedule("s", "q", {"n": 2}, every_s=60)
    assert 50_000 < clockwork.next_in_ms() <= 60_000
