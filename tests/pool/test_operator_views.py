"""`bizzmq stats`, `queues`, `dlq` and `purge`: what operators see, replay and delete."""

from __future__ import annotations

import pytest
from redis import Redis

from bizzmq import QueueStats
from bizzmq.testing import invariants
from bizzmq.testing.layout import snapshot
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.wait import eventually
from tests.faults.scene import QUEUE, Scene
from tests.pool.command import OPERATOR, Finished, refused, run

DEAD = f"{QUEUE}_dlq"


@pytest.fixture
def letters(scene: Scene) -> list[str]:
    """Three dead letters, oldest first; two messages wait and one is delayed."""
    failed = scene.publish(*[{"n": number} for number in range(3)], retries=0)
    stop = scene.mq.consume_message_from_queue(QUEUE, _fail)
    eventually(lambda: scene.mq.stats(QUEUE).dead_lettered == 3)
    stop()
    scene.publish({}, {})
    scene.publish({}, delay_s=60)
    return failed


def _fail(body: dict[str, int]) -> None:
    raise ValueError(f"no luck with {body['n']}\x1b[31m")


def test_stats_count_stored_messages_and_outcomes(scene: Scene, letters: list[str]) -> None:
    found = _run(scene, "stats", QUEUE, "--json").json()
    number = len(QueueStats().as_dict())
    counts = dict(list(found.items())[:number])

    assert counts == {
        "waiting": 2, "delayed": 1, "suspended": 0, "processing": 0, "dead_lettered": 3, "published": 6, "acked": 0,
        "retried": 0,
        "requeued": 0, "discarded": 0, "dead_lettered_total": 3, "missing": 0, "purged": 0,
        "cancelled": 0, "expired": 0, "dropped": 0, "duplicates": 0, "replayed": 0,
        "written_off": 0, "unaccounted": 0, "unreadable": 0,
    }  # fmt: skip
    lines = _run(scene, "stats", QUEUE).lines()
    assert [line.split() for line in lines[:number]] == [[k, str(v)] for k, v in counts.items()]
    assert (found["workers"], found["hosts"]) == (0, [])
    assert found["outgoing_per_minute_1min"] >= 0
    assert 0 < found["oldest_waiting_s"] < 3600
    assert [line.split()[0] for line in lines[number:]] == ["oldest", "workers", "a", "incoming", "outgoing", "failed"]


def test_queues_lists_every_queue(scene: Scene, letters: list[str]) -> None:
    rows = _run(scene, "queues", "--json").json()

    assert [(row["queue"], row["waiting"], row["delayed"], row["dead_lettered"]) for row in rows] == [
        (QUEUE, 2, 1, 3),
        (DEAD, 3, 0, 0),
    ]
    head, *lines = _run(scene, "queues").lines()
    assert head.split()[:2] == ["queue", "waiting"]
    assert [line.split()[0] for line in lines] == [QUEUE, DEAD]


@pytest.mark.parametrize("name", [QUEUE, DEAD])
def test_dlq_list_shows_the_oldest_first(scene: Scene, letters: list[str], name: str) -> None:
    listed = _run(scene, "dlq", "list", name, "--json").json()

    assert [row["id"] for row in listed] == letters
    assert {(row["error_type"], row["queue"], row["place"]) for row in listed} == {("ValueError", QUEUE, "waiting")}
    paged = _run(scene, "dlq", "list", name, "--limit=1", "--offset=1")
    assert letters[1] in paged.lines()[1]
    assert paged.err == "... 1 more\n"
    assert "\x1b" not in _run(scene, "dlq", "list", name).out, "a terminal would execute it"


def test_dlq_show_prints_everything_about_one(scene: Scene, letters: list[str]) -> None:
    shown = _run(scene, "dlq", "show", QUEUE, letters[1], "--json").json()

    assert (shown["id"], shown["body"]) == (letters[1], {"n": 1})
    assert shown["error"]["error"] == "no luck with 1\x1b[31m"
    assert shown["error"]["traceback"].startswith("Traceback")
    oldest = _run(scene, "dlq", "show", DEAD)
    assert letters[0] in oldest.lines()[0]
    assert "no luck with 0" in oldest.out
    assert "\x1b" not in oldest.out


@pytest.mark.parametrize("count", [2, 0])
def test_dlq_replay_replays_the_named_ones_or_all(scene: Scene, letters: list[str], count: int) -> None:
    named = letters[:count]

    assert _run(scene, "dlq", "replay", QUEUE, *named).lines() == [f"{count or 3} messages replayed"]

    assert set(scene.waiting()) >= set(named or letters)
    pool = scene.pool()
    scene.ledger.wait_handled(*(named or letters))
    invariants.check_one_place(scene.redis, QUEUE)
    assert scene.mq.stats(QUEUE).dead_lettered == 3 - (count or 3)
    assert {event.fields["delivery"] for event in scene.ledger.starts()} == {1}, "not as a new message"
    scene.retire(pool)


def test_purges_delete_only_messages_that_are_not_being_handled(scene: Scene, letters: list[str]) -> None:
    assert _run(scene, "dlq", "purge", QUEUE, "--yes").lines() == ["3 messages deleted"]
    assert (scene.mq.stats(QUEUE).dead_lettered, scene.mq.stats(QUEUE).waiting) == (0, 2)

    assert _run(scene, "purge", QUEUE, "--yes").lines() == ["3 messages deleted"]
    invariants.check_at_rest(scene.redis, QUEUE)


def test_a_purge_leaves_running_messages(scene: Scene) -> None:
    pool = scene.pool(concurrency=1)
    running = scene.publish_one({"do": "wait_for_file", "path": "/never/there"})
    scene.ledger.wait_started(running)
    scene.publish(*[{}] * 5)

    assert _run(scene, "purge", QUEUE, "--yes").lines() == ["5 messages deleted"]

    assert scene.held() == [running]
    assert snapshot(scene.redis, QUEUE)[0].messages == {running}
    assert pool.exit_code is None


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["stats", "nowhere"], 1, "'nowhere' does not exist"),
        (["dlq", "list", "nowhere"], 1, "'nowhere_dlq' does not exist"),
        (["dlq", "replay", "nowhere"], 1, "'nowhere_dlq' does not exist"),
        (["dlq", "show", QUEUE], 2, "no dead letters"),
        (["dlq", "show", QUEUE, "nobody"], 2, "no dead letter 'nobody'"),
        (["dlq", "show", QUEUE, ""], 2, "it is empty"),
        (["dlq", "replay", QUEUE, "nobody"], 2, "no dead letter 'nobody'"),
    ],
)
def test_a_missing_queue_or_id_is_one_line(scene: Scene, arguments: list[str], code: int, reported: str) -> None:
    assert reported in refused(OPERATOR, *arguments, code=code, REDIS_URL=scene.url)


def test_a_wrong_id_among_good_ones_replays_none(scene: Scene, letters: list[str]) -> None:
    refused(OPERATOR, "dlq", "replay", QUEUE, letters[0], "nobody", REDIS_URL=scene.url)

    assert scene.mq.stats(QUEUE).dead_lettered == 3


def test_an_unavailable_server_is_one_line_within_seconds(redis: Redis) -> None:
    line = refused(OPERATOR, "queues", code=1, REDIS_URL=f"redis://{LOOPBACK}:{free_port()}/0")

    assert "Redis is unavailable" in line


def _run(scene: Scene, *arguments: str) -> Finished:
    return run(OPERATOR, *arguments, REDIS_URL=scene.url)
