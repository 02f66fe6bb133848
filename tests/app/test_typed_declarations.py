"""Typed arguments: declarations, errors, and classes of other libraries."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Dict, List, Optional, Tuple
from uuid import UUID

import pytest

from bizzmq.app.arguments import Arguments
from bizzmq.errors import ArgumentsError, ConfigurationError, Draining, MessageTimeout
from tests.app.typed_values import Colour, Item, Leaf, Node, Order, of, through

msgspec = pytest.importorskip("msgspec")
pydantic = pytest.importorskip("pydantic")
from typing_extensions import Annotated  # noqa: E402 - it comes with pydantic


@dataclass(eq=False)
class Unequal:
    value: int


@dataclass
class Fussy:
    value: int

    def __post_init__(self) -> None:
        if self.value < 0:
            raise KeyError("it must not be negative")


def later(node: List[After], model: AfterModel, plain: int) -> None: ...


EARLY = Arguments(later, "early", takes_context=False)


class AfterModel(pydantic.BaseModel):
    held: Optional[After] = None


@dataclass
class After:
    value: int
    inner: Optional[After] = None


def test_annotations_and_fields_may_name_what_is_defined_later() -> None:
    body = EARLY.encode(([After(1, After(2))], AfterModel(held=After(3)), 4), {})

    assert EARLY.decode(body) == (
        (), {"node": [After(1, After(2))], "model": AfterModel(held=After(3)), "plain": 4},
    )  # fmt: skip


def test_the_place_of_a_problem_is_named() -> None:
    def function(nodes: Dict[str, Node], orders: List[Order]) -> None: ...

    arguments = Arguments(function, "task", takes_context=False)

    with pytest.raises(ArgumentsError, match=r"'nodes'\[\.\.\.\]\.children\[0\]\.value must be int, not str"):
        arguments.decode({"nodes": {"a": {"value": 1, "children": [{"value": "1"}]}}, "orders": []})
    with pytest.raises(ArgumentsError, match=r"'orders'\[0\]\.number .*valid integer"):
        arguments.decode({"nodes": {}, "orders": [{"number": "1"}]})


def test_errors_do_not_show_values() -> None:
    short = Annotated[str, pydantic.Field(max_length=3)]
    values = ("s3cret", ["s3cret"], {"number": "s3cret", "value": "s3cret"}, {"type": "s3cret"})
    for annotation in (date, UUID, Order, Node, Colour, Decimal, bytes, Tuple[int, ...], short, Item):
        for value in values:
            with pytest.raises(ArgumentsError) as refused:
                of(annotation).decode({"x": value})
            assert "s3cret" not in str(refused.value)


def test_pydantic_and_msgspec_are_strict_in_the_worker() -> None:
    for annotation in (Order, Node):
        name = "number" if annotation is Order else "value"
        for value in ("1", True, 1.0, None):
            with pytest.raises(ArgumentsError):
                of(annotation).decode({"x": {name: value}})


def test_code_of_users_that_fails_in_a_conversion_is_a_refusal() -> None:
    with pytest.raises(ArgumentsError, match=r"'x' .*it must not be negative"):
        of(Fussy).decode({"x": {"value": -1}})


@pytest.mark.parametrize("interruption", [MessageTimeout(1.0), Draining(), MemoryError()])
def test_a_limit_that_strikes_in_a_conversion_is_no_refusal(interruption: Exception) -> None:
    @dataclass
    class Slow:
        value: int

        def __post_init__(self) -> None:
            if self.value:
                raise interruption

    class SlowModel(pydantic.BaseModel):
        value: int

        @pydantic.field_validator("value")
        @classmethod
        def check(cls, value: int) -> int:
            if value:
                raise interruption
            return value

    for kind in (Slow, SlowModel):
        with pytest.raises(type(interruption)):
            of(kind).decode({"x": {"value": 1}})


def test_models_with_aliases_computed_fields_and_extras_come_back() -> None:
    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        number: int = pydantic.Field(alias="no")

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def twice(self) -> int:
            return 2 * self.number

    back = through(Model, Model(no=3, more=[1]))

    assert (back, back.twice, back.model_extra) == (Model(no=3, more=[1]), 6, {"more": [1]})
    with pytest.raises(ArgumentsError):
        of(Model).encode((Model(no=3, more=(1,)),), {})


def test_a_field_that_a_model_leaves_out_is_refused() -> None:
    class Model(pydantic.BaseModel):
        number: int = pydantic.Field(3, exclude=True)

    assert through(Model, Model()) == Model()
    with pytest.raises(ArgumentsError, match=r"'x'\.number would not arrive as an equal int"):
        of(Model).encode((Model(number=4),), {})


def test_objects_without_equality_are_compared_by_their_fields() -> None:
    assert through(Unequal, Unequal(3)).value == 3


def test_attrs_classes_come_back() -> None:
    attr = pytest.importorskip("attr")

    @attr.s(auto_attribs=True)
    class Made:
        value: int
        day: date

    Made.__annotations__.update(value=int, day=date)

    assert through(Made, Made(1, date(2026, 1, 2))) == Made(1, date(2026, 1, 2))


def test_a_type_of_pydantic_itself_comes_back() -> None:
    assert through(pydantic.AnyUrl, pydantic.AnyUrl("https://example.org/a")) == pydantic.AnyUrl(
        "https://example.org/a"
    )


@pytest.mark.skipif(sys.version_info < (3, 10), reason="`X | Y` at run time is of Python 3.10")
def test_unions_and_generics_of_newer_pythons_are_the_same() -> None:
    assert through("date | None", date(2026, 1, 2)) == date(2026, 1, 2)
    assert through("list[tuple[int, date]]", [(1, date(2026, 1, 2))]) == [(1, date(2026, 1, 2))]
    assert through("dict[str, int] | None", {"a": 1}) == {"a": 1}


@pytest.mark.skipif(sys.version_info >= (3, 10), reason="`X | Y` is evaluated from Python 3.10 on")
def test_a_union_that_an_older_python_cannot_evaluate_is_refused_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"needs Python 3\.10, write Union\[X, Y\] or Optional\[X\]"):
        of("date | None")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = ...` is of Python 3.12")
def test_type_aliases_stand_for_their_type() -> None:
    names: Dict[str, Any] = {"date": date}
    exec("type Day = date\ntype Days = list[Day]\ntype Endless = list[Endless]", names)

    assert through(names["Days"], [date(2026, 1, 2)]) == [date(2026, 1, 2)]
    with pytest.raises(ConfigurationError, match="cannot be used"):
        of(names["Endless"])


def test_results_are_converted_like_arguments() -> None:
    def function() -> Tuple[Leaf, Optional[Order]]: ...  # type: ignore[empty-body]

    arguments = Arguments(function, "task", takes_context=False)
    arguments.check(result=True)
    value = (Leaf(1.5, date(2026, 1, 2)), Order(number=1))

    assert arguments.decode_result(arguments.encode_result(value)) == value
