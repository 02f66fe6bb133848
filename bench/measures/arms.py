"""All arms, round by round in rotated order, with both yardsticks in each round."""

from __future__ import annotations

import os
import statistics
import subprocess
from dataclasses import replace
from typing import Any, Callable, Mapping, Sequence, Tuple

import click
import psutil
from redis.exceptions import RedisError

import bizzmq
from bench.fair import bare_work, yardsticks
from bench.fair.lab import Lab, lab
from bench.fair.session import Plan, session
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.apps import tally
from bench.peers.environment import Environment, NotThere, prepare
from bench.peers.peer import NODE, PYTHON, RUBY, Peer

LOADS = (50, 80)
FAILURES = (click.ClickException, psutil.Error, RedisError, OSError, LookupError)
"""The errors with which an arm is left out while the others go on."""
CALIBRATE = {NODE: ["node", "tally.js"], RUBY: ["ruby", "tally.rb"]}


def measure(scale: Scale) -> dict[str, Any]:
    """The rounds of every arm that can run here, their yardsticks, and the skipped arms with the reason."""
    places, skipped = environments({name: ARMS[name] for name in scale.arms})
    turns = {name: turns_per_us(ARMS[name], place) for name, place in places.items()}
    arms = described(ARMS, places)
    bare: list[dict[str, Any]] = []
    rates: list[dict[str, float]] = []
    with lab() as on:
        for number in range(scale.rounds):
            plan = replace(scale.plan, loads=loads(scale.plan))
            rates.append(dict(plan.loads))
            bare.append(yardstick(on, scale))

            def measure_one(name: str, plan: Plan = plan) -> dict[str, Any]:
                return session(ARMS[name], places[name], on, plan, turns[name])

            run_round(number, scale, arms, skipped, measure_one)
    return {
        "arms": whole(arms, scale),
        "yardsticks": bare,
        "loads_per_s": {name: statistics.median(one[name] for one in rates) for name in rates[0]},
        "skipped": skipped,
    }


def loads(plan: Plan) -> Tuple[Tuple[str, float], ...]:
    """50% and 80% of the rate of two bare processes with this work: the same for every arm of a round."""
    turns, ms = tally.turns_per_us(), plan.work_us // 1000
    capacity = statistics.median(bare_work.per_s(int(150 * plan.load_s), ms, turns) for _ in range(3))
    return tuple((f"{share}%", capacity * share / 100) for share in LOADS)


def rotated(names: Sequence[str], number: int) -> list[str]:
    """The order of each round: another arm starts each time, and every second round runs backwards."""
    turn = number % len(names)
    order = [*names[turn:], *names[:turn]]
    return order[::-1] if number % 2 else order


def environments(peers: Mapping[str, Peer]) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environment of each arm, or the reason why it cannot be installed."""
    places, skipped = {}, {}
    for name, peer in peers.items():
        try:
            places[name] = prepare(peer)
        except NotThere as error:
            skipped[name] = str(error)
    return places, skipped


def described(peers: Mapping[str, Peer], places: Mapping[str, Environment]) -> dict[str, Any]:
    """The arms for the report, before their first round."""
    return {name: {**describe(peers[name], place), "rounds": []} for name, place in places.items()}


def run_round(
    number: int, scale: Scale, arms: dict[str, Any], skipped: dict[str, str], measure_one: Callable[[str], Any]
) -> None:  # fmt: skip
    """One round of all arms: what is measured is added to each; the reason why an arm fails, to `skipped`."""
    for name in rotated(list(arms), number):
        click.echo(f"round {number + 1} of {scale.rounds}: {name}", err=True)
        try:
            arms[name]["rounds"].append(measure_one(name))
        except FAILURES as error:
            skipped[name] = f"round {number + 1}: {str(error).strip().splitlines()[0]}"


def whole(arms: Mapping[str, Any], scale: Scale) -> dict[str, Any]:
    """The arms that have not failed in any round."""
    return {name: of for name, of in arms.items() if len(of["rounds"]) == scale.rounds}


def yardstick(on: Lab, scale: Scale) -> dict[str, Any]:
    """The yardsticks of this machine in this round."""
    few = max(500, scale.plan.most // 20)
    return {
        "claims_2x1_per_s": yardsticks.claims_per_s(on, few, 2, 1),
        "claims_1x64_per_s": yardsticks.claims_per_s(on, 10 * few, 1, 64),
        "publishes_per_s": yardsticks.publishes_per_s(on, few),
        "pop_s": yardsticks.pop_latencies_s(on, scale.plan.idle, scale.plan.gap_s),
        "redis_benchmark": yardsticks.redis_benchmark(on, 5 * few),
    }


def turns_per_us(peer: Peer, place: Environment) -> float:
    """The amount of work that takes a microsecond in this arm's language and interpreter."""
    command = CALIBRATE.get(peer.language, [place.python, "tally.py"])
    reported = subprocess.run(command, cwd=str(place.folder), check=True, capture_output=True, text=True)
    return float(reported.stdout)


def describe(peer: Peer, place: Environment) -> dict[str, str]:
    """The description of an arm for the report."""
    return {
        "language": peer.language,
        "guarantee": peer.guarantee,
        "settings": peer.settings,
        "version": version(peer, place),
        "recovery": peer.recovery,
        "source": peer.source,
    }


def version(peer: Peer, place: Environment) -> str:
    if peer.is_own:
        return bizzmq.__version__
    asked = {
        PYTHON: [place.python, "-c", f"from importlib.metadata import version; print(version('{peer.package}'))"],
        NODE: ["node", "-p", f"require('{peer.package}/package.json').version"],
        RUBY: ["ruby", "-e", "require 'sidekiq'; puts Sidekiq::VERSION"],
    }[peer.language]
    environment = {**os.environ, "NODE_PATH": place.node_path}
    reported = subprocess.run(
        asked, cwd=str(place.folder), env=environment, capture_output=True, text=True, check=False
    )
    return reported.stdout.strip() or "unknown"
