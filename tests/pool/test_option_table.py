"""An option of the pool is one entry: flag, variable, check, help and reference come from its field."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import click
import pytest

from bizzmq.errors import ConfigurationError
from bizzmq.workers import WorkerConfig, click_options
from bizzmq.workers.cli import command
from bizzmq.workers.config import OPTIONS
from bizzmq.workers.option import Group, Option, choice, docstring_lines, option, options_of, seconds
from tools import reference

HANDLER = "tests.handlers:noop"
NO_OPTIONS = {"handler", "directory", "description"}
COMMAND_ONLY = {"handler", "check", "check_preload", "debug", "keep_environment", "log_level", "log_format", "version"}
ON_COMMAND_LINE = [one for one in OPTIONS if one.flags]
by_name = pytest.mark.parametrize("one", ON_COMMAND_LINE, ids=lambda one: one.name)


@dataclass(frozen=True)
class Extended(WorkerConfig):
    """A pool with two more options: these entries are all that is written for them."""

    colour: str = option("--colour", kind=choice("red", "blue"), default="red", meaning="Colour of the pool.")
    shade_after_s: float = option(
        "--shade-after", kind=seconds(1, flag_least=2), default=9.0, needs=("colour",), group=Group.LIMITS,
        meaning="Time until the pool is in the shade.", details="It needs `--colour`.",
    )  # fmt: skip


def config_of(*arguments: str) -> Extended:
    """What a command with these options makes of the arguments."""
    return Extended(HANDLER, **click_options.settings(options_of(Extended), context_of(*arguments).params))


def context_of(*arguments: str) -> click.Context:
    @click.command(cls=click_options.GroupedCommand)
    @click_options.add(options_of(Extended))
    def pool(**_given: Any) -> None: ...

    return pool.make_context("pool", list(arguments))


def test_one_entry_is_a_flag_a_variable_and_a_field(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_of() == Extended(HANDLER, control="auto")
    assert config_of("--colour=blue", "--shade-after=3").shade_after_s == 3.0
    monkeypatch.setenv("BIZZMQ_WORKER_COLOUR", "blue")
    monkeypatch.setenv("BIZZMQ_WORKER_SHADE_AFTER", "4")
    assert (config_of().colour, config_of().shade_after_s) == ("blue", 4.0)


def test_one_entry_is_checked_on_the_command_line_and_in_python() -> None:
    for wrong in ("--colour=green", "--shade-after=1", "--shade-after=soon"):
        with pytest.raises(click.BadParameter):
            config_of(wrong)
    with pytest.raises(ConfigurationError, match="colour must be red or blue, not 'green'"):
        Extended(HANDLER, colour="green")
    with pytest.raises(ConfigurationError, match="shade_after_s must be between 1 and 100 years"):
        Extended(HANDLER, shade_after_s=0.5)


def test_one_entry_is_in_the_help_the_hints_and_the_reference() -> None:
    shown = re.sub(r"\s+", " ", context_of().get_help())
    assert "--shade-after SECONDS Time until the pool is in the shade. [default: 9.0; x>=2]" in shown
    assert shown.index("Limits:") < shown.index("--shade-after") < shown.index("Status and probes:")

    hints = click_options.without_effect(options_of(Extended), context_of("--shade-after=3"))
    assert hints == ["--shade-after has no effect without --colour"]
    assert click_options.without_effect(options_of(Extended), context_of("--shade-after=3", "--colour=blue")) == []

    (row,) = [row for row in reference._rows(context_of().command.params, "BIZZMQ_WORKER") if "shade" in row]
    flag, meaning, default, variable = row.strip("| ").split(" | ")
    assert (flag, variable, default) == ("`--shade-after SECONDS`", "`BIZZMQ_WORKER_SHADE_AFTER`", "`9`")
    assert meaning == "Time until the pool is in the shade. It needs `--colour`. At least 2."
    assert "colour: Colour of the pool. Default: 'red'." in docstring_lines(options_of(Extended))


def test_each_field_is_an_option_and_each_option_of_the_command_is_a_field_or_the_commands_own() -> None:
    fields = {field.name for field in dataclasses.fields(WorkerConfig)}
    assert {one.name for one in OPTIONS} == fields - NO_OPTIONS
    assert {parameter.name for parameter in command.params} == COMMAND_ONLY | {one.parameter for one in ON_COMMAND_LINE}


@by_name
def test_flag_variable_and_field_have_one_name(one: Option) -> None:
    name = one.flag[2:].replace("-", "_")
    assert one.variable == f"BIZZMQ_WORKER_{name}".upper()
    assert one.parameter == (name if name != "queue" else "queues")
    assert one.name == one.parameter + {"SECONDS": "_s", "MB": "_mb"}.get(one.kind.metavar, "")
    assert one.meaning.endswith(".")
    assert set(one.needs) <= {other.name for other in OPTIONS}


@by_name
def test_each_option_can_come_from_its_variable(one: Option, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {bool: "1", int: "7", float: "7"}.get(one.kind.flag_type) or (one.kind.words or ("/some/where",))[-1]
    monkeypatch.setenv(one.variable, value)

    given = command.make_context("bizzmq-worker", [HANDLER]).params[one.parameter]

    assert given == ((value,) if one.kind.is_repeated else one.kind.flag_type(value))


def test_the_defaults_of_the_command_are_those_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("BIZZMQ_REDIS_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    given = command.make_context("bizzmq-worker", [HANDLER]).params

    config = WorkerConfig(HANDLER, **click_options.settings(OPTIONS, given))

    assert config == WorkerConfig(HANDLER, control="auto")


def test_a_token_is_read_from_its_variable_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIZZMQ_WORKER_HEALTH_TOKEN", "canary")
    given = command.make_context("bizzmq-worker", [HANDLER]).params

    config = WorkerConfig(HANDLER, **click_options.settings(OPTIONS, given))

    assert config.health_token == "canary"
    assert "canary" not in repr(config)


def test_help_for_python_describes_each_field() -> None:
    described = re.findall("^    ([a-z_]+): ", WorkerConfig.__doc__ or "", re.MULTILINE)
    assert set(described) == {field.name for field in dataclasses.fields(WorkerConfig)}
