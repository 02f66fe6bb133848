"""Where ids stand: few are searched for, many are found by reading lists through, and both say the same."""

from __future__ import annotations

from typing import Callable, List

import pytest
from redis import Redis

from bizzmq.broker import Broker
from bizzmq.sight import OWN
from bizzmq.testing.server import RedisServer
from tests.scripts.containers import Containers, can_search_lists, look, put
from tests.scripts.moves import QUEUE
from tests.scripts.table_repairs import inspecting, place, restoring, sight, unifying

every_way = pytest.mark.parametrize("others", [[], [f"x{number}" for number in range(9)]], ids=["searched", "read"])
LONG = [f"m{number:04}" for number in range(2001)]  # three pages, of which the last is one id


@every_way
@pytest.mark.parametrize("position", [0, 999, 1000, 1001, 2000])
def test_an_id_is_found_once_in_every_page_of_a_list(
    broker: Broker, redis: Redis, position: int, others: List[str]
) -> None:
    put(redis, QUEUE, Containers(waiting=tuple(LONG)))

    found = inspecting(LONG[position], *others)(broker)

    assert found[0] == sight(LONG[position], place(OWN, "waiting"))
    assert not any(one.places for one in found[1:])
    assert restoring(LONG[position], *others)(broker) == 0


@every_way
def test_the_copy_that_is_next_in_its_list_stays(broker: Broker, redis: Redis, others: List[str]) -> None:
    long = (LONG[0], "m", *LONG[1:])
    put(redis, QUEUE, Containers(processing={"w8": long, "w9": (*"abcd", "m", *"efghi")}))

    assert unifying("m", *others)(broker) == 1

    assert look(redis, QUEUE).processing == {"w8": long, "w9": tuple("abcdefghi")}


@every_way
def test_what_counts_is_how_many_are_before_it_and_not_how_many_are_behind(
    broker: Broker, redis: Redis, others: List[str]
) -> None:
    put(redis, QUEUE, Containers(processing={"w8": ("a", "m"), "w9": ("m", "b", "c")}))

    assert unifying("m", *others)(broker) == 1

    assert look(redis, QUEUE).processing == {"w8": ("a",), "w9": ("m", "b", "c")}


@pytest.mark.parametrize("count", [9, 10])
def test_the_oldest_of_several_in_a_list_stays(broker: Broker, redis: Redis, count: int) -> None:
    put(redis, QUEUE, Containers(waiting=(*LONG, *LONG[:count])))
    wanted = LONG[:count]

    assert inspecting(*wanted)(broker) == [sight(name, place(OWN, "waiting", 2)) for name in wanted]
    assert unifying(*wanted)(broker) == count

    assert look(redis, QUEUE).waiting == tuple(LONG)


def test_a_server_that_cannot_search_lists_reads_them(broker_factory: Callable[[str], Broker], redis: Redis) -> None:
    if not can_search_lists(redis):
        pytest.skip("this server cannot, so that all other tests here show it")
    server = RedisServer(config=['rename-command LPOS ""'])
    try:
        put(server.client(), QUEUE, Containers(waiting=("m1", "m2")))

        found = inspecting("m1")(broker_factory(server.url))
    finally:
        server.close()

    assert found == [sight("m1", place(OWN, "waiting"))]
