"""Faults are drawn from a seed."""

from __future__ import annotations

import random

import pytest

from bizzmq.testing.strike import Hit, Kind, plan


def nothing(_rng: random.Random) -> Hit:
    return Hit()


KINDS = {
    kind.name: kind
    for kind in (
        Kind("often", nothing, weight=4),
        Kind("seldom", nothing),
        Kind("down", nothing, lasts_s=(0.5, 1.0), alone_in="server"),
        Kind("stalled", nothing, lasts_s=(0.5, 1.0), alone_in="server"),
    )
}


def test_the_same_seed_does_the_same() -> None:
    assert plan(7, 60.0, KINDS) == plan(7, 60.0, KINDS) != plan(8, 60.0, KINDS)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_even_in_a_short_torture(seed: int) -> None:
    assert {planned.kind for planned in plan(seed, 8.0, KINDS)} == set(KINDS)


def test_a_kind_with_more_weight_occurs_more_often() -> None:
    planned = [one.kind for one in plan(1, 600.0, KINDS)]

    assert planned.count("often") > 3 * planned.count("seldom") > 0


@pytest.mark.parametrize("seed", range(20))
def test_faults_of_one_group_do_not_overlap_and_all_are_undone_in_time(seed: int) -> None:
    planned = plan(seed, 30.0, KINDS)
    servers = [one for one in planned if KINDS[one.kind].alone_in]

    assert all(one.at_s + one.lasts_s < other.at_s for one, other in zip(servers, servers[1:]))
    assert all(one.at_s + one.lasts_s <= 30.0 for one in planned)
