"""Locations of ids: scripts search for few ids and read the lists for many. Both ways find the same."""

from __future__ import annotations

from typing import Callable, List

import pytest
from redis import Redis

from bizzmq.audit.locations import OWN
from bizzmq.broker.broker import Broker
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import Containers, can_search_lists, look, put
from tests.scripts.moves import QUEUE
from tests.scripts.table_repairs import deduplicating, locating, locations, place, requeueing_unplaced

every_way = pytest.mark.parametrize("others", [[], [f"x{number}" for number in range(9)]], ids=["searched", "read"])
LONG = [f"m{number:04}" for number in range(2001)]  # three pages, of which the last is one id


@every_way
@pytest.mark.parametrize("position", [0, 999, 1000, 1001, 2000])
def test_an_id_is_found_once_in_every_page_of_a_list(
    broker: Broker, redis: Redis, position: int, others: List[str]
) -> None:
    put(redis, QUEUE, Containers(waiting=tuple(LONG)))

    found = locating(LONG[position], *others)(broker)

    assert found[0] == locations(LONG[position], place(OWN, "waiting"))
    assert not any(one.locations for one in found[1:])
    assert requeueing_unplaced(LONG[position], *others)(broker) == 0


@every_way
def test_the_copy_that_is_next_in_its_list_stays(broker: Broker, redis: Redis, others: List[str]) -> None:
    long = (LONG[0], "m", *LONG[1:])
    put(redis, QUEUE, Containers(processing={"w8": long, "w9": (*"abcd", "m", *"efghi")}))

    assert deduplicating("m", *others)(broker) == 1

    assert look(redis, QUEUE).processing == {"w8": long, "w9": tuple("abcdefghi")}


@every_way
def test_the_number_of_older_ids_counts_and_not_that_of_newer_ones(
    broker: Broker, redis: Redis, others: List[str]
) -> None:
    put(redis, QUEUE, Containers(processing={"w8": ("a", "m"), "w9": ("m", "b", "c")}))

    assert deduplicating("m", *others)(broker) == 1

    assert look(redis, QUEUE).processing == {"w8": ("a",), "w9": ("m", "b", "c")}


@pytest.mark.parametrize("count", [9, 10])
def test_the_oldest_of_several_in_a_list_stays(broker: Broker, redis: Redis, count: int) -> None:
    put(redis, QUEUE, Containers(waiting=(*LONG, *LONG[:count])))
    wanted = LONG[:count]

    assert locating(*wanted)(broker) == [locations(name, place(OWN, "waiting", 2)) for name in wanted]
    assert deduplicating(*wanted)(broker) == count

    assert look(redis, QUEUE).waiting == tuple(LONG)


def test_a_server_that_cannot_search_lists_reads_them(broker_factory: Callable[[str], Broker], redis: Redis) -> None:
    if not can_search_lists(redis):
        pytest.skip("this server has no LPOS, so all tests of this module show it")
    server = RedisServer(config=['rename-command LPOS ""'])
    try:
        put(server.client(), QUEUE, Containers(waiting=("m1", "m2")))

        found = locating("m1")(broker_factory(server.url))
    finally:
        server.close()

    assert found == [locations("m1", place(OWN, "waiting"))]
