"""`python -m bench` lists the measurements and runs one, or all of them with small settings."""

from __future__ import annotations

import click

from bench import drain, idle, recovery

SMALL = {
    "drain": ["--messages=50000", "--rounds=3"],
    "recovery": ["--kills=50"],
    "idle": ["--workers=8", "--seconds=10"],
}


@click.group()
def main() -> None:
    """Measure what BizzMQ costs. Nothing else should run on the machine."""


main.add_command(drain.main, "drain")
main.add_command(recovery.main, "recovery")
main.add_command(idle.main, "idle")


@main.command("all")
def run_all() -> None:
    """All of them with small settings, in about a minute."""
    for name, arguments in SMALL.items():
        click.echo(f"== {name} {' '.join(arguments)}")
        main.commands[name].main(arguments, standalone_mode=False)
        click.echo()


if __name__ == "__main__":
    main(prog_name="python -m bench")
