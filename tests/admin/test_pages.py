"""Pages of lists and sets that change between two pages."""

from __future__ import annotations

import random
from typing import Callable, Iterator

import pytest
from redis import Redis

from bizzmq.admin.paging import pages
from bizzmq.admin.paging.pages import IdList, IdSet, Page, Position
from bizzmq.broker.broker import Broker
from bizzmq.testing.layout import Keys

KEYS = Keys("q")
LIST = IdList(KEYS.waiting, KEYS.attempts)


def ids(first: int, end: int) -> list[str]:
    return [f"m{number:05d}" for number in range(first, end)]


def taken(page: Page) -> list[str]:
    return [one.decode() for one in page.ids]


def walk(
    broker: Broker, source: IdList | IdSet, limit: int, between: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """All ids, page by page; `between` is called after each page."""
    position: Position | None = Position()
    while position is not None:
        page = broker.perform(source.page(position, limit))
        yield from taken(page)
        position = page.following
        between()


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95, 3000])
@pytest.mark.parametrize("limit", [1, 10, 1000])
def test_a_list_at_rest_is_listed_once_from_its_head(broker: Broker, redis: Redis, count: int, limit: int) -> None:
    if count:
        redis.lpush(KEYS.waiting, *ids(0, count))
    if count * 5 > limit * 1000:
        pytest.skip("too many pages")

    assert list(walk(broker, LIST, limit)) == ids(0, count)


@pytest.mark.parametrize("claimed", [1, 7, 10, 60, 1500, 3000])
def test_nothing_that_waits_is_left_out_or_repeated_while_workers_claim(
    broker: Broker, redis: Redis, claimed: int
) -> None:
    names = ids(0, 20 + 12 * claimed)
    redis.lpush(KEYS.waiting, *names)
    claims: list[int] = []

    def claim() -> None:
        before = redis.llen(KEYS.waiting)
        redis.ltrim(KEYS.waiting, 0, -claimed - 1)
        claims.append(before - redis.llen(KEYS.waiting))

    listed = list(walk(broker, LIST, 2 * claimed, claim))

    assert listed == names, "pages are read twice as fast as messages are claimed"
    assert sum(claims) > len(names) // 3


def test_a_listing_that_workers_overtake_goes_on_with_what_is_left(broker: Broker, redis: Redis) -> None:
    names = ids(0, 300)
    redis.lpush(KEYS.waiting, *names)

    listed = list(walk(broker, LIST, 10, lambda: redis.ltrim(KEYS.waiting, 0, -51)))

    assert listed == [name for first in range(0, 300, 50) for name in names[first : first + 10]]


def test_a_message_that_stays_is_listed_once_while_others_are_claimed_retried_and_requeued(
    broker: Broker, redis: Redis, rng: random.Random
) -> None:
    for _ in range(30):
        redis.flushall()
        names = ids(0, 300)
        redis.lpush(KEYS.waiting, *names)
        moved: set[str] = set()

        def move(moved: set[str] = moved) -> None:
            deed, count = rng.choice(["claim", "claim", "retry", "requeue", "publish"]), rng.randrange(1, 9)
            if deed == "publish":
                redis.lpush(KEYS.waiting, f"n{rng.random()}")
                return
            for _ in range(count):
                name = redis.rpop(KEYS.waiting)
                if name is None:
                    return
                moved.add(name)
                if deed == "retry":
                    redis.hset(KEYS.attempts, name, f"{rng.randrange(1, 10**6)} 0 0 0")
                    redis.lpush(KEYS.waiting, name)
                elif deed == "requeue":
                    redis.rpush(KEYS.waiting, name)
                    return

        listed = list(walk(broker, LIST, rng.randrange(1, 20), move))

        stayed = [name for name in names if name not in moved]
        assert [name for name in listed if name in set(stayed)] == stayed


def test_pages_of_a_list_go_on_behind_requeued_messages(broker: Broker, redis: Redis) -> None:
    redis.lpush(KEYS.waiting, *ids(0, 40))
    first = broker.perform(LIST.page(Position(), 10))
    assert first.following is not None

    redis.rpush(KEYS.waiting, *[f"r{number}" for number in range(100)])

    assert taken(broker.perform(LIST.page(first.following, 10))) == ids(10, 20)


def test_a_page_whose_next_messages_were_deleted_begins_with_what_is_left(broker: Broker, redis: Redis) -> None:
    redis.lpush(KEYS.waiting, *ids(0, 40))
    first = broker.perform(LIST.page(Position(), 10))
    assert first.following is not None

    for name in ids(10, 19):
        redis.lrem(KEYS.waiting, 0, name)

    assert taken(broker.perform(LIST.page(first.following, 10))) == ids(19, 29)


def test_a_list_of_one_forged_id_ends(broker: Broker, redis: Redis) -> None:
    redis.lpush(KEYS.waiting, *["forged"] * 500)

    assert list(walk(broker, LIST, 10)) == ["forged"] * 500


def test_the_work_for_a_page_is_bounded(broker: Broker, redis: Redis) -> None:
    """The next messages have left a long list, so they are not found, and the search ends."""
    redis.lpush(KEYS.waiting, *ids(0, 50_000))
    position = Position(40_000, 0.0, ((b"gone", 1),))
    redis.config_resetstat()

    page = broker.perform(LIST.page(position, 10))

    calls = redis.info("commandstats")["cmdstat_lrange"]["calls"]
    assert calls <= pages.FOUND_WITHIN // 1000 + 1
    assert len(page.ids) == 10
    assert int(taken(page)[0][1:]) == 40_000 + 200 - pages.FOUND_WITHIN


def scored(redis: Redis, scores: dict[str, float]) -> None:
    redis.zadd(KEYS.delayed, scores)


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_set_with_equal_scores_is_listed_once(broker: Broker, redis: Redis, limit: int) -> None:
    scored(redis, {name: float(number // 40) for number, name in enumerate(ids(0, 100))})

    assert list(walk(broker, IdSet(KEYS.delayed), limit)) == ids(0, 100)


def test_a_set_is_listed_by_scores_while_its_members_come_and_go(
    broker: Broker, redis: Redis, rng: random.Random
) -> None:
    for _ in range(20):
        redis.flushall()
        names = ids(0, 200)
        scored(redis, {name: float(number // 30) for number, name in enumerate(names)})
        moved: set[str] = set()

        def move(names: list[str] = names, moved: set[str] = moved) -> None:
            for name in rng.sample(names, 5):
                if rng.random() < 0.5:
                    moved.add(name)
                    redis.zrem(KEYS.delayed, name)
                redis.zadd(KEYS.delayed, {f"n{rng.random()}": float(rng.randrange(8))})

        listed = list(walk(broker, IdSet(KEYS.delayed), rng.randrange(1, 20), move))

        stayed = [name for name in names if name not in moved]
        assert [name for name in listed if name in set(stayed)] == stayed


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "-1e300", "5e-324", "-0.0"])
def test_forged_scores_are_listed(broker: Broker, redis: Redis, score: str) -> None:
    redis.execute_command("ZADD", KEYS.prioritized, score, "forged", -1.5, "a", 1.5, "b")

    both = [
        *walk(broker, IdSet(KEYS.prioritized, high=0.0), 1),
        *walk(broker, IdSet(KEYS.prioritized, low=0.0), 1),
    ]

    assert sorted(both) == ["a", "b", "forged"]
    assert list(walk(broker, IdSet(KEYS.prioritized), 1)) == redis.zrange(KEYS.prioritized, 0, -1)


def test_the_size_of_a_part_of_a_set_counts_its_own_members(broker: Broker, redis: Redis) -> None:
    redis.zadd(KEYS.prioritized, {"a": -1.5, "b": -0.5, "c": 0.0, "d": 0.5})

    sizes = [broker.perform(one.size()) for one in (
        IdSet(KEYS.prioritized), IdSet(KEYS.prioritized, high=0.0), IdSet(KEYS.prioritized, low=0.0)
    )]  # fmt: skip

    assert sizes == [4, 2, 2]
