"""Each row of the tables in docs/guide/arguments.md, as written."""

from __future__ import annotations

import json
import re
import sys
import types
from inspect import Parameter
from typing import Any, Iterator

import pytest

from bizzmq.app.arguments import Arguments
from bizzmq.errors import ArgumentsError
from tests.support.paths import ROOT

pytest.importorskip("msgspec")
pytest.importorskip("pydantic")

PAGE = (ROOT / "docs/guide/arguments.md").read_text(encoding="utf-8")


def rows(name: str) -> list[list[str]]:
    table = PAGE.partition(f"<!-- table: {name} -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


CONVERSIONS, REFUSALS = rows("conversions"), rows("refusals")


@pytest.fixture(scope="module")
def names() -> Iterator[dict[str, Any]]:
    """The names of the page's `shapes.py`, which is a module as any other one."""
    found = re.search(r"`shapes.py`:\n\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found
    module = types.ModuleType("shapes_of_the_guide")
    sys.modules[module.__name__] = module
    exec(compile(found[1], "shapes.py", "exec"), vars(module))
    yield vars(module)
    del sys.modules[module.__name__]


def code(cell: str) -> str:
    found = re.match("`(.*?)`", cell)
    assert found, cell
    return found[1]


def arguments_of(annotation: Any) -> Arguments:
    def function(value):  # type: ignore[no-untyped-def]
        return value

    function.__annotations__ = {} if annotation is Parameter.empty else {"value": annotation}
    return Arguments(function, "task", takes_context=False)


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_value_travels_as_the_table_says(row: list[str], names: dict[str, Any]) -> None:
    annotation, passed, travels, gets, _ = row
    arguments, value = arguments_of(eval(code(annotation), names)), eval(code(passed), names)

    if travels == "refused":
        with pytest.raises(ArgumentsError):
            arguments.encode((value,), {})
        return
    body = arguments.encode((value,), {})
    received = json.loads(json.dumps(body))
    args, kwargs = arguments.decode(received)

    expected = eval(code(gets), names)
    assert json.dumps(body["value"]) == json.dumps(json.loads(code(travels)))
    assert (args, kwargs) == ((), {"value": expected})
    assert type(kwargs["value"]) is type(expected)


@pytest.mark.parametrize("row", CONVERSIONS, ids=lambda row: f"{row[0]} {row[1]}")
def test_a_value_without_annotation_does_what_the_table_says(row: list[str], names: dict[str, Any]) -> None:
    _, passed, _, gets, without = row
    arguments, value = arguments_of(Parameter.empty), eval(code(passed), names)

    if without == "refused":
        with pytest.raises(ArgumentsError):
            arguments.encode((value,), {})
        return
    received = json.loads(json.dumps(arguments.encode((value,), {})))
    got = arguments.decode(received)[1]["value"]

    expected = eval(code(gets if without == "the same" else without.replace("arrives as ", "")), names)
    assert (got, type(got)) == (expected, type(expected))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_error_says_what_the_table_says(row: list[str], names: dict[str, Any]) -> None:
    annotation, passed, text = map(code, row)

    with pytest.raises(ArgumentsError) as refused:
        arguments_of(eval(annotation, names)).encode((eval(passed, names),), {})

    assert str(refused.value) == f"task 'task': 'value' {text}"


def test_the_tables_are_not_empty() -> None:
    assert len(CONVERSIONS) > 35
    assert len(REFUSALS) > 12
