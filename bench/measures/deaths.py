"""Recovery of each arm with its default settings when a worker is killed while a handler runs.

All arms run at once, each with a server of its own, because they wait most of the time. One message is published and
the process that runs it is killed (SIGKILL). An arm without a worker is restarted, as a service manager would do.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Mapping

import click
import psutil

from bench.fair.arm import Arm, running
from bench.fair.lab import lab
from bench.goals import Goal
from bench.measures import arms
from bench.measures.scale import Scale
from bench.peers import ARMS
from bench.peers.own import OWN_ARMS

WORK_US = 400_000
CAPACITY = 2000
HEADINGS = ["a killed worker's message runs again after", "seconds", "its source says", "guarantee"]
_LOOK_S = 0.05
"""The polling interval of the timestamps, which contain the exact start of a handler."""
_NOT_TIMED = {peer.name for peer in OWN_ARMS[1:]}


def measure(scale: Scale) -> dict[str, Any]:
    """Seconds from the kill until the message runs again, by arm; None if that takes longer than `patience_s`."""
    places, skipped = arms.environments({name: ARMS[name] for name in scale.arms if name not in _NOT_TIMED})
    turns = {name: arms.turns_per_us(ARMS[name], place) for name, place in places.items()}
    after_s: dict[str, float | None] = {}
    with contextlib.ExitStack() as stack:
        killed: dict[str, tuple[Arm, float]] = {}
        for name, place in places.items():
            try:
                on = stack.enter_context(lab())
                arm = stack.enter_context(running(ARMS[name], place, on, CAPACITY, turns[name]))
                arm.boot(20)
                killed[name] = (arm, kill_the_busy_one(arm))
            except arms.FAILURES as error:
                skipped[name] = str(error).strip().splitlines()[0]
        end_s = time.monotonic() + scale.patience_s
        while len(after_s) < len(killed) and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
            for name, (arm, at_s) in killed.items():
                arm.revive()
                again_s = arm.tallies.begun_after(arm.published - 1, at_s)
                if again_s is not None:
                    after_s[name] = again_s - at_s
    return {
        "patience_s": scale.patience_s,
        "skipped": skipped,
        "arms": {
            name: {
                "after_s": after_s.get(name),
                "recovery": ARMS[name].recovery,
                "source": ARMS[name].source,
                "guarantee": ARMS[name].guarantee,
            }
            for name in killed
        },
    }


def kill_the_busy_one(arm: Arm) -> float:
    """Publish a slow message and kill the process that runs it; returns the time of the kill in monotonic seconds."""
    arm.publish("single", 1, us=WORK_US)
    number = arm.published - 1
    end_s = time.monotonic() + 30.0
    while time.monotonic() < end_s:
        path = arm.tallies.slot_that_began(number)
        if path is not None:
            victims = [process for process in arm.processes() if has_open(process, path)]
            at_s = time.monotonic()
            victims[-1].kill()  # the youngest: if a parent has a child that runs the message, the child
            return at_s
        time.sleep(0.001)
    raise click.ClickException(f"{arm.peer.name}: its message was not started")


def has_open(process: psutil.Process, path: Path) -> bool:
    """Whether a process has this file open or mapped."""
    with contextlib.suppress(OSError):
        if str(path) in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace"):
            return True
        return any(link.resolve() == path for link in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A line for each arm, the quickest first."""
    order = sorted(result["arms"].items(), key=lambda item: (item[1]["after_s"] is None, item[1]["after_s"]))
    return [
        [name, f"not within {result['patience_s']:g}" if of["after_s"] is None else f"{of['after_s']:,.3f}",
         f"{of['recovery']} ({of['source']})", of["guarantee"]]
        for name, of in order
    ]  # fmt: skip


def goals(_result: Mapping[str, Any]) -> list[Goal]:
    """No goals: `recovery` measures BizzMQ's goal over many kills."""
    return []
