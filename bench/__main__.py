"""`python -m bench` lists the measurements and runs one, or all of them with small settings."""

from __future__ import annotations

import sys

import click

from bench import (
    aio,
    browsers,
    compare,
    drain,
    durability,
    features,
    guard,
    idle,
    library_threads,
    memory,
    preload,
    recovery,
    render,
    respawn,
    sampling,
    schedules,
    tasks,
    walks,
)

SMALL = {
    "drain": ["--messages=50000", "--rounds=3"],
    "recovery": ["--kills=50"],
    "idle": ["--workers=8", "--seconds=10"],
    "respawn": ["--kills=10"],
    "sampling": ["--messages=3", "--seconds=2"],
    "preload": ["--rounds=5"],
    "tasks": ["--quick", "--alone", "--rounds=1"],
    "features": ["--quick", "--alone", "--rounds=1"],
    "browsers": ["--messages=100000", "--rounds=1", "--browsers=5"],
    "schedules": ["--schedules=1000", "--seconds=10"],
    "aio": ["--messages=500", "--rounds=1"],
    "durability": ["--crashes=1", "--waits=10"],
    "memory": ["--messages=1000", "--workers=2"],
}
LINUX_ONLY = ("memory", "preload")


@click.group()
def main() -> None:
    """Measure what BizzMQ costs. Nothing else should run on the machine."""


main.add_command(drain.main, "drain")
main.add_command(recovery.main, "recovery")
main.add_command(idle.main, "idle")
main.add_command(respawn.main, "respawn")
main.add_command(memory.main, "memory")
main.add_command(preload.main, "preload")
main.add_command(library_threads.main, "threads")
main.add_command(durability.main, "durability")
main.add_command(tasks.main, "tasks")
main.add_command(features.main, "features")
main.add_command(sampling.main, "sampling")
main.add_command(browsers.main, "browsers")
main.add_command(schedules.main, "schedules")
main.add_command(aio.main, "aio")
main.add_command(compare.compare, "compare")
main.add_command(compare.run, "run")
main.add_command(render.main, "report")
main.add_command(guard.main, "guard")
main.add_command(walks.main, "walks")


@main.command("all")
def run_all() -> None:
    """All of them with small settings, in a few minutes."""
    for name, arguments in SMALL.items():
        click.echo(f"== {name} {' '.join(arguments)}")
        if name in LINUX_ONLY and not sys.platform.startswith("linux"):
            click.echo("left out: available on Linux only\n")
            continue
        main.commands[name].main(arguments, standalone_mode=False)
        click.echo()


if __name__ == "__main__":
    main(prog_name="python -m bench")
