"""Groups of dead letters, and the filters of lists, groups and replays."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from bizzmq import App, BizzMQ, ConfigurationError, MessageOptions, QueueNotFoundError, QueueOptions
from bizzmq.dead_letters import groups, listing
from bizzmq.testing.layout import Keys
from tests.dead_letters.letters import bury, record
from tests.scripts.containers import everything, put
from tests.scripts.moves import held


def fail(body: Any) -> float:
    return 1 / int(body["by"])


@pytest.fixture
def queue(mq: BizzMQ) -> str:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))
    return "q"


def test_letters_of_a_worker_are_grouped_by_error_and_line(mq: BizzMQ, queue: str) -> None:
    before_s = time.time()
    ids = mq.publish_messages_to_queue(queue, [{"by": 0}, {"by": "x"}, {"by": 0}, {}, {"by": 0}])
    mq.consume_until_empty(queue, fail)

    division, *others = mq.dead_letter_groups(queue)

    assert (division.error_type, division.count, division.error) == ("ZeroDivisionError", 3, "division by zero")
    assert division.where.startswith("test_groups.py:")
    assert division.where.endswith(" in fail")
    assert division.last_id == ids[-1]
    assert division.first_failed_at_s is not None
    assert division.last_failed_at_s is not None
    assert before_s - 2 <= division.first_failed_at_s <= division.last_failed_at_s <= time.time() + 1
    assert {(one.error_type, one.count) for one in others} == {("ValueError", 1), ("KeyError", 1)}
    assert mq.dead_letter_groups("q_dlq") == [division, *others]


def test_all_kinds_of_letters_are_grouped(mq: BizzMQ, redis: Redis, queue: str) -> None:
    bury(redis, record(), record("WorkerCrashed", signal="SIGSEGV"), {"error_type": "UnsignedError", "error": "x"})
    bury(redis, record(handler_error=record("KeyError")), place="parked")
    bury(redis, record(), place="delayed")
    mq.publish_message_to_queue("q_dlq", "by hand")
    dead = Keys("q_dlq")
    for name, envelope in {"nohead": b"\xff" * 300_000, "b\xff": b"2\t{}\t{}\n1", "odd": b"1\t{}\t[]\n1"}.items():
        redis.hset(dead.messages, name, envelope)
        redis.lpush(dead.waiting, name)
    before = everything_as_bytes(redis)

    found = {one.error_type: one.count for one in mq.dead_letter_groups(queue)}

    assert found == {"ValueError": 3, "WorkerCrashed": 1, "UnsignedError": 1, "": 1, "unreadable": 3}
    assert everything_as_bytes(redis) == before


def everything_as_bytes(redis: Redis) -> Any:
    """The dead letters, whose envelopes may be no text."""
    kwargs, dead = redis.connection_pool.connection_kwargs, Keys("q_dlq")
    with Redis(host=kwargs["host"], port=kwargs["port"]) as raw:
        return raw.hgetall(dead.messages), raw.lrange(dead.waiting, 0, -1), raw.lrange(dead.parked, 0, -1)


def test_letters_that_a_worker_holds_are_left_out(mq: BizzMQ, redis: Redis) -> None:
    put(redis, "q_dlq", held("d1", waiting=("d2",)))

    assert [one.count for one in mq.dead_letter_groups("q")] == [1]


def test_groups_beyond_a_limit_are_counted_together(
    mq: BizzMQ, redis: Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MAX_GROUPS", 3)
    bury(redis, *(record(f"Error{number % 5}") for number in range(10)))

    found = {one.fingerprint: one.count for one in mq.dead_letter_groups(queue)}

    assert found.pop("others") == 4
    assert sorted(found.values()) == [2, 2, 2]


FILTERS = {
    "task": ({"task": "mail"}, [0]),
    "key": ({"key": "acme"}, [1]),
    "type": ({"error_type": "KeyError"}, [2]),
    "age": ({"older_than_s": 600}, [3]),
    "age as a timedelta": ({"older_than_s": timedelta(minutes=10)}, [3]),
    "text": ({"text": "TIMED out"}, [4]),
    "two": ({"error_type": "ValueError", "text": "timed"}, [4]),
    "contradiction": ({"error_type": "KeyError", "text": "timed"}, []),
    "no type": ({"error_type": ""}, []),
    "none": ({}, [0, 1, 2, 3, 4]),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_chooses_for_lists_groups_and_replays(mq: BizzMQ, redis: Redis, queue: str, name: str) -> None:
    given: Any = FILTERS[name][0]
    ids = [
        *bury(redis, record(), task="mail"), *bury(redis, record(), key="acme"), *bury(redis, record("KeyError")),
        *bury(redis, record(failed_s=3600, age_s=7200)), *bury(redis, record(error="it timed out at 5")),
    ]  # fmt: skip
    expected = [ids[number] for number in FILTERS[name][1]]

    listed = mq.dead_letters(queue, **given)

    assert [one.id for one in listed.messages] == expected
    assert listed.next is None
    assert all(isinstance(one.body, dict) for one in listed.messages)
    assert sum(one.count for one in mq.dead_letter_groups(queue, **given)) == len(expected)
    assert mq.replay(queue, **given) == len(expected)
    assert {one.id for one in mq.messages(queue).messages} == set(expected)
    assert mq.stats(queue).unaccounted == mq.stats("q_dlq").unaccounted == 0


def test_a_group_is_chosen_by_its_fingerprint(mq: BizzMQ, redis: Redis, queue: str) -> None:
    bury(redis, *[record(), record(function="receive")] * 3)
    one, other = mq.dead_letter_groups(queue)

    assert mq.replay(queue, fingerprint=one.fingerprint) == 3

    assert mq.dead_letter_groups(queue) == [other]


def test_filtered_pages_are_complete(mq: BizzMQ, redis: Redis, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_EXAMINED", 50)
    ids = bury(redis, *(record("KeyError" if number % 7 == 3 else "ValueError") for number in range(300)))
    wanted = [one for number, one in enumerate(ids) if number % 7 == 3]

    for limit in (1, 4, 1000):
        found, page = [], mq.dead_letters(queue, error_type="KeyError", limit=limit)
        while True:
            assert len(page.messages) <= limit
            found += [one.id for one in page.messages]
            if page.next is None:
                break
            page = mq.dead_letters(queue, error_type="KeyError", limit=limit, after=page.next)
        assert found == wanted


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"fingerprint": "xyz"}, "fingerprint must be 12 hex digits"), ({"older_than_s": -1}, "older_than_s must be"),
        ({"text": 7}, "text must be"), ({"task": b"x"}, "task must be"), ({"error_type": KeyError}, "error_type must"),
    ],
)  # fmt: skip
def test_a_wrong_filter_is_refused(mq: BizzMQ, redis: Redis, queue: str, given: Any, text: str) -> None:
    bury(redis, record())
    before = everything(redis)

    for call in (mq.dead_letters, mq.dead_letter_groups, mq.replay):
        with pytest.raises(ConfigurationError, match=text):
            call(queue, **given)
        with pytest.raises(QueueNotFoundError):
            call("nowhere")
    assert everything(redis) == before


def test_a_real_key_and_task_are_those_of_the_message(mq: BizzMQ, url: str) -> None:
    app = App(url)

    @app.task(queue="mails", name="mail", max_retries=0)
    def send() -> None:
        raise LookupError("nobody")

    send.using(key="acme").publish()
    send.publish()
    mq.publish_message_to_queue("mails", 1, MessageOptions(key="acme"))
    app.run_until_idle()

    assert mq.replay("mails", key="acme", task=send.name) == 1
    assert [one.tasks for one in mq.dead_letter_groups("mails", error_type="LookupError")] == [(send.name,)]
