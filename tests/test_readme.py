"""What the README says of the `bizzmq` command is what its `--help` says."""

from __future__ import annotations

import configparser
import re

import click

from bizzmq.cli.main import command
from tests.support.paths import ROOT

_README = (ROOT / "README.md").read_text(encoding="utf-8")
_SECTION = _README.partition("\n## Commands\n")[2].partition("\n## ")[0]
FOR_CONTRIBUTORS = {"test", "dev", "bench"}
ROWS = [line.split(" | ") for line in _SECTION.replace("\\|", "/").splitlines() if line.startswith("| `")]
WAYS = [way.replace("/", "|") for usage, *_ in ROWS for way in re.findall("`(.+?)`", usage)]


def test_every_command_has_its_row() -> None:
    assert {way.split()[0] for way in WAYS} == set(command.commands)


def test_every_extra_has_its_row() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    table = _README.partition("\n| extra | adds |\n")[2].partition("\n\n")[0]
    rows = [name for line in table.splitlines()[1:] for name in re.findall("`([a-z]+)`", line.split(" | ")[0])]
    assert sorted(rows) == sorted({*setup["options.extras_require"]} - FOR_CONTRIBUTORS)


def test_each_row_names_the_arguments_and_options_that_the_command_takes() -> None:
    for way in WAYS:
        name, *rest = way.split()
        options = re.findall(r"--[a-z-]+", way)
        for one in _meant(command.commands[name], rest):
            taken = [word for piece in one.params if piece.param_type_name == "option" for word in piece.opts]
            assert set(options) <= set(taken), way
            context = click.Context(one, info_name=name)
            pieces = one.collect_usage_pieces(context)[1:]
            if one is not command.commands[name]:  # a row of several: what all of them need
                pieces = [piece for piece in pieces if not piece.startswith("[")]
            assert pieces == _arguments(" ".join(rest)), way


def test_each_option_that_a_row_speaks_of_exists() -> None:
    for usage, *text in ROWS:
        name, *rest = usage.split("`")[1].replace("/", "|").split()
        taken = {
            word
            for one in _meant(command.commands[name], rest)
            for piece in one.params
            for word in (*piece.opts, *piece.secondary_opts)
        }
        assert set(re.findall(r"`(--[a-z-]+)`", " ".join(text))) <= taken, name


def _meant(one: click.Command, rest: list[str]) -> list[click.Command]:
    """The command, or all of its own commands that a row names."""
    return [one.commands[name] for name in rest.pop(0).split("|")] if isinstance(one, click.Group) else [one]


def _arguments(rest: str) -> list[str]:
    return re.sub(r"\[--[^\]]*\]", "", rest).split()
