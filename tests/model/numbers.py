"""Only the order of a worker's release numbers matters: worlds that differ only in the numbers are equal."""

from __future__ import annotations

from typing import Mapping

from tests.model.queue import Request, changed
from tests.model.world import World


def renumbered(world: World) -> World:
    """The same world with the smallest numbers, and without numbers if no release is in flight."""
    names = {name for name, _ in world.queue.releases} | {one.id for one in world.workers if one.releases}
    for name in names:
        world = _renumbered(world, name)
    return world


def _renumbered(world: World, name: str) -> World:
    asking = [worker.asking for worker in world.workers if worker.asking is not None]
    under_way = {one.args[0] for one in (*asking, *world.network) if _is_release(one, name)}
    answered = {worker.releases for worker in world.workers if worker.id == name}
    order = sorted({0, world.queue.released(name), *answered, *under_way})
    ranks = {number: rank if under_way else 0 for rank, number in enumerate(order)}
    if all(number == rank for number, rank in ranks.items()):
        return world
    releases = changed(world.queue.releases, {name: ranks[world.queue.released(name)]})
    for slot, worker in enumerate(world.workers):
        if worker.id == name:
            again = worker.asking and _with_rank(worker.asking, name, ranks)
            world = world.with_worker(slot, releases=ranks[worker.releases], asking=again)
    network = tuple(sorted((_with_rank(one, name, ranks) for one in world.network), key=repr))
    return world._replace(queue=world.queue._replace(releases=releases), network=network)


def _with_rank(request: Request, name: str, ranks: Mapping[int, int]) -> Request:
    if not _is_release(request, name):
        return request
    return request._replace(args=(ranks[request.args[0]], *request.args[1:]))


def _is_release(request: Request, name: str) -> bool:
    return request.script == "release" and request.who == name
