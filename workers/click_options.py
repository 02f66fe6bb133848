"""The options of the `bizzmq-worker` command, made from the options of the pool."""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

import click

from bizzmq.utils import console
from bizzmq.validation import checks
from bizzmq.workers.option import Group, Kind, Option

F = TypeVar("F", bound=Callable[..., Any])


class IntegerOrWord(click.ParamType):  # type: ignore[type-arg]
    """A whole number from 1 to 999,999, or one of some words."""

    name = "number"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: object, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Union[int, str]:
        if isinstance(value, str) and value in self._words:
            return value
        text = str(value)
        if re.fullmatch("[1-9][0-9]{0,5}", text) is None:
            shown = checks.shown(text)
            self.fail(
                f"{shown} is neither a whole number from 1 to 999,999, nor {' nor '.join(self._words)}", param, ctx
            )
        return int(text)


class GroupedOption(click.Option):
    """An option that names its section of the help; `details` are for the reference."""

    def __init__(self, *args: Any, group: Group, details: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group, self.details = group, details


class GroupedCommand(click.Command):
    """A command whose help shows its options in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        for title, options in sections(self.get_params(ctx)):
            records = [option.get_help_record(ctx) for option in options]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])


def sections(parameters: Iterable[click.Parameter]) -> Iterator[Tuple[str, List[click.Option]]]:
    """The title and the options of each section. Options that name no section are in the last one."""
    options = [one for one in parameters if isinstance(one, click.Option)]
    for group in Group:
        members = [one for one in options if getattr(one, "group", Group.OTHER) is group]
        if members:
            yield group.value, members


def add(options: Sequence[Option]) -> Callable[[F], F]:
    """A decorator: the command takes these options, each as a keyword argument without the unit in its name."""

    def decorate(function: F) -> F:
        for one in reversed(options):
            if one.flags:
                function = click.option(one.parameter, *one.flags, **_attributes(one))(function)
        return function

    return decorate


def settings(options: Sequence[Option], given: Mapping[str, Any]) -> Dict[str, Any]:
    """The fields of WorkerConfig that were set: by the arguments of the command, or by a variable that has no flag."""
    values = {one.name: given[one.parameter] for one in options if one.flags}
    values.update({one.name: os.environ.get(one.variable) for one in options if one.variable and not one.flags})
    return {name: value for name, value in values.items() if value not in (None, ())}


def without_effect(options: Sequence[Option], context: click.Context) -> List[str]:
    """A sentence for each option that was given and has no effect, since none of the options it needs is set."""
    by_name = {one.name: one for one in options}
    return [
        f"{one.flag} has no effect without {' or '.join(by_name[name].flag for name in one.needs)}"
        for one in options
        if one.needs and _is_given(context, one) and not any(_is_set(context, by_name[name]) for name in one.needs)
    ]


def _is_given(context: click.Context, one: Option) -> bool:
    source = context.get_parameter_source(one.parameter)
    return source in (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)


def _is_set(context: click.Context, one: Option) -> bool:
    value = context.params.get(one.parameter)
    return value is not None and value != one.default


def _attributes(one: Option) -> Dict[str, Any]:
    """The arguments of `click.option`."""
    kind = one.kind
    variables = [one.variable, *one.more_variables]
    default = one.default if one.flag_default is None else one.flag_default
    attributes: Dict[str, Any] = {
        "cls": GroupedOption, "group": one.group, "details": one.details, "help": one.meaning,
        "envvar": variables, "type": _type(kind), "default": default, "show_default": True,
    }  # fmt: skip
    if kind.flag_type is bool:
        return {**attributes, "is_flag": True, "show_default": False}
    if one.default_text:
        here = f", here {one.default_here()}" if one.default_here is not None else ""
        attributes.update(
            help=f"{one.meaning}  [default: {one.default_text}{here}]", default=one.flag_default, show_default=False
        )
    if not isinstance(attributes["type"], click.Choice):
        attributes["metavar"] = kind.metavar
    if not kind.may_be_empty:
        attributes["callback"] = console.not_empty
    return {**attributes, "multiple": kind.is_repeated}


def _type(kind: Kind) -> Optional[click.ParamType]:  # type: ignore[type-arg]
    if kind.flag_type is int:
        return IntegerOrWord(*kind.words) if kind.words else click.IntRange(kind.least, kind.most)
    if kind.flag_type is float:
        return click.FloatRange(kind.least, kind.most)
    return click.Choice(kind.words) if kind.words else None
