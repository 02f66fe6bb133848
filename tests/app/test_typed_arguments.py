"""Arguments that JSON has no type for: what comes back equals what was passed, in value and type, or it is refused."""

from __future__ import annotations

import collections
import enum
import math
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    List,
    NamedTuple,
    NewType,
    Optional,
    Set,
    Tuple,
    TypeVar,
    Union,
)
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bizzmq.app.arguments import Arguments
from bizzmq.errors import ArgumentsError, ConfigurationError
from tests.app.typed_values import Colour, Item, Leaf, Node, Order, days, leaves, nodes, of, texts, through
from tests.protocol.test_bodies import json_values
from tests.support.examples import examples

msgspec = pytest.importorskip("msgspec")
pydantic = pytest.importorskip("pydantic")
from typing_extensions import Annotated, NotRequired, TypedDict  # noqa: E402 - it comes with pydantic

often = settings(max_examples=examples(20), deadline=None, database=None)
T = TypeVar("T")


class Level(int, enum.Enum):
    LOW = 1
    HIGH = 2


class Pair(enum.Enum):
    ONE = (1, 2)


@dataclass
class Doubled:
    value: int
    twice: int = field(init=False)

    def __post_init__(self) -> None:
        self.twice = 2 * self.value


@dataclass
class Noted:
    value: int
    note: InitVar[str] = ""


@dataclass
class Box(Generic[T]):
    held: T


class Place(NamedTuple):
    row: int
    day: date = date(2026, 1, 1)


class Row(TypedDict):
    day: date
    note: NotRequired[str]


class Own:
    pass


UserId = NewType("UserId", int)
Birthday = NewType("Birthday", date)


def types(value: Any) -> Any:
    """The types inside a value, in its shape."""
    if isinstance(value, dict):
        return dict, {key: (type(key), types(held)) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [types(held) for held in value]
    if isinstance(value, (set, frozenset)):
        return type(value), {element: type(element) for element in value}
    return type(value), types(vars(value)) if isinstance(value, (Node, Leaf, Order)) else None


zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))) | st.just(timezone.utc)
VALUES: Dict[str, Tuple[Any, Any]] = {
    "datetime": (datetime, st.datetimes(timezones=st.none() | zones).map(lambda found: found.replace(fold=0))),
    "date": (date, days),
    "time": (time, st.times().map(lambda found: found.replace(fold=0))),
    "timedelta": (timedelta, st.timedeltas()),
    "UUID": (UUID, st.uuids()),
    "Decimal": (Decimal, st.decimals(allow_nan=False)),
    "Enum": (Colour, st.sampled_from(Colour)),
    "Enum of int": (Level, st.sampled_from(Level)),
    "Path": (Path, texts.map(Path)),
    "PurePosixPath": (PurePosixPath, texts.map(PurePosixPath)),
    "bytes": (bytes, st.binary()),
    "bytearray": (bytearray, st.binary().map(bytearray)),
    "tuple": (Tuple[int, str, Optional[bool]], st.tuples(st.integers(), st.text(), st.none() | st.booleans())),
    "tuple of any length": (Tuple[date, ...], st.lists(days).map(tuple)),
    "empty tuple": (Tuple[()], st.just(())),
    "bare tuple": (tuple, st.tuples(json_values)),
    "set": (Set[int], st.sets(st.integers())),
    "set of tuples": (Set[Tuple[int, str]], st.sets(st.tuples(st.integers(), st.text()))),
    "frozenset": (FrozenSet[date], st.frozensets(days)),
    "int keys": (Dict[int, List[str]], st.dictionaries(st.integers(), st.lists(st.text()))),
    "date keys": (Dict[date, int], st.dictionaries(days, st.integers())),
    "UUID keys": (Dict[UUID, Colour], st.dictionaries(st.uuids(), st.sampled_from(Colour))),
    "dataclass": (Node, nodes),
    "frozen dataclass": (Leaf, leaves),
    "list of dataclasses": (List[Leaf], st.lists(leaves)),
    "generic dataclass": (Box[date], st.builds(Box, days)),
    "computed field": (Doubled, st.builds(Doubled, st.integers())),
    "NamedTuple": (Place, st.builds(Place, st.integers(), days)),
    "TypedDict": (Row, st.fixed_dictionaries({"day": days}, optional={"note": st.text()})),
    "Struct": (Item, st.builds(Item, st.decimals(allow_nan=False), st.just([]))),
    "model": (Order, st.builds(Order, number=st.integers(), due=st.none() | days, tags=st.sets(texts))),
    "model with a dataclass": (Order, st.builds(Order, number=st.integers(), node=st.builds(Node, st.integers()))),
    "tuple of models": (Tuple[Order, ...], st.lists(st.builds(Order, number=st.integers())).map(tuple)),
    "union": (Union[date, int, None, List[date]], days | st.integers() | st.none() | st.lists(days)),
    "union with a dataclass": (Union[Leaf, List[int], bool], leaves | st.lists(st.integers()) | st.booleans()),
    "NewType": (List[UserId], st.lists(st.integers())),
    "NewType of a date": (Birthday, days),
    "Annotated": (Annotated[date, "a note"], days),
    "constrained by pydantic": (Annotated[int, pydantic.Field(gt=3)], st.integers(4)),
    "constrained by msgspec": (Annotated[str, msgspec.Meta(max_length=3)], st.text(max_size=3)),
}


@pytest.mark.parametrize(("annotation", "values"), VALUES.values(), ids=VALUES)
def test_a_value_comes_back_equal_and_of_its_type(annotation: Any, values: Any) -> None:
    arguments = of(annotation)

    @often
    @given(values)
    def check(value: Any) -> None:
        back = through(arguments, value)
        assert back == value
        assert types(back) == types(value)

    check()


@pytest.mark.parametrize("annotation", [annotation for annotation, _ in VALUES.values()], ids=VALUES)
def test_any_json_is_decoded_or_refused_and_nothing_else(annotation: Any) -> None:
    arguments = of(annotation)
    objects = st.dictionaries(
        st.sampled_from(["value", "children", "leaf", "number", "due", "day", "type"]), json_values
    )

    refusals: List[str] = []

    @often
    @given(json_values | st.lists(json_values) | objects | st.dates().map(str) | st.integers().map(str))
    def check(value: Any) -> None:
        try:
            arguments.decode({"x": value})
        except ArgumentsError as error:
            refusals.append(str(error))

    check()

    assert [text for text in refusals if len(text) > 400 or len(text.splitlines()) != 1] == []


def nested(levels: int) -> Node:
    node = Node(1)
    for _ in range(levels):
        node = Node(1, [node])
    return node


def cyclic() -> Node:
    node = Node(1)
    node.children.append(node)
    return node


class Text(str):
    __slots__ = ()


class Bytes(bytes):
    __slots__ = ()


class Moment(datetime):
    pass


@dataclass(frozen=True)
class Special(Leaf):
    """A subclass arrives as its base."""

    more: int = 0


REFUSED = {
    "a list for a tuple": (Tuple[int, ...], [1]),
    "a bool in a tuple": (Tuple[int, ...], (True,)),
    "a float in a tuple": (Tuple[int, ...], (1.0,)),
    "too few": (Tuple[int, int], (1,)),
    "a tuple in a bare tuple": (tuple, ((1,),)),
    "a list for a set": (Set[int], [1]),
    "a frozenset for a set": (Set[int], frozenset({1})),
    "a bool in a set": (Set[int], {True}),
    "a tuple in a bare set": (set, {(1,)}),
    "bool keys": (Dict[int, int], {True: 1}),
    "text for int keys": (Dict[int, int], {"1": 1}),
    "tuples as keys": (Dict[Tuple[int, int], int], {(1, 2): 1}),
    "a text for a date": (date, "2026-01-01"),
    "a datetime for a date": (date, datetime(2026, 1, 1)),  # noqa: DTZ001 - naive on purpose
    "a date for a datetime": (datetime, date(2026, 1, 1)),
    "a subclass of datetime": (datetime, Moment(2026, 1, 1)),
    "a number for a datetime": (datetime, 5),
    "a fold": (datetime, datetime(2026, 1, 1, fold=1)),  # noqa: DTZ001 - naive on purpose
    "an offset with seconds": (datetime, datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=19, seconds=32)))),
    "a number for a timedelta": (timedelta, 5),
    "a text for a UUID": (UUID, str(UUID(int=1))),
    "a float for a Decimal": (Decimal, 1.5),
    "a Decimal that is no number": (Decimal, Decimal("NaN")),
    "a signaling NaN": (Decimal, Decimal("sNaN")),
    "the value of an enum": (Colour, "red"),
    "the int of an enum": (Level, 1),
    "an enum for its base": (int, Level.LOW),
    "a text for a Path": (Path, "a"),
    "a pure path for a Path": (Path, PurePosixPath("a")),
    "a bytearray for bytes": (bytes, bytearray(b"x")),
    "a subclass of bytes": (bytes, Bytes(b"x")),
    "a text for bytes": (bytes, "x"),
    "a subclass of str in a dataclass": (Box[str], Box(Text("x"))),
    "a dict for a dataclass": (Leaf, {"weight": 1.0, "day": date(2026, 1, 1)}),
    "another dataclass": (Leaf, Node(1)),
    "a subclass of a dataclass": (Leaf, Special(1.0, date(2026, 1, 1))),
    "a wrong field": (Node, Node("1")),  # type: ignore[arg-type]
    "a wrong field inside": (Node, Node(1, [Node(True)])),
    "NaN in a dataclass": (Leaf, Leaf(math.nan, date(2026, 1, 1))),
    "a tuple in a field of any type": (Box[Any], Box((1,))),
    "a set in a field of any type": (Box[Any], Box({1})),
    "an int key in a field of any type": (Box[Any], Box({1: 1})),
    "a deep dataclass": (Node, nested(150)),
    "a dataclass that contains itself": (Node, cyclic()),
    "a tuple for a NamedTuple": (Place, (1, date(2026, 1, 1))),
    "an unknown key of a TypedDict": (Row, {"day": date(2026, 1, 1), "more": 1}),
    "a missing key of a TypedDict": (Row, {}),
    "an OrderedDict for a TypedDict": (Row, collections.OrderedDict(day=date(2026, 1, 1))),
    "a wrong field of a Struct": (Item, Item("1")),
    "a dict for a model": (Order, {"number": 1}),
    "a wrong field of a model": (Order, Order.model_construct(number="1", due=None, tags=set())),
    "a lone surrogate in a model": (Order, Order.model_construct(number=1, due=None, tags={"\ud800"})),
    "a number for a model": (List[Order], [5]),
    "a dict for a model in a list": (List[Order], [{"number": 1}]),
    "a secret": (pydantic.SecretStr, pydantic.SecretStr("x")),
    "a constraint of pydantic": (Annotated[int, pydantic.Field(gt=3)], 3),
    "a constraint of msgspec": (Annotated[int, msgspec.Meta(gt=3)], 3),
    "None": (Leaf, None),
    "an object": (Leaf, Own()),
}  # fmt: skip


@pytest.mark.parametrize(("annotation", "value"), REFUSED.values(), ids=REFUSED)
def test_what_would_come_back_changed_is_refused_in_one_line(annotation: Any, value: Any) -> None:
    with pytest.raises(ArgumentsError, match="task 'task': 'x'") as refused:
        of(annotation).encode((value,), {})

    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


UNCONVERTIBLE = {
    "a class": (Own, "Own cannot be converted"),
    "a class in a list": (List[Own], "Own cannot be converted"),
    "a class in a dataclass": (Box[Own], "Own cannot be converted"),
    "a function": (Callable[[int], int], "Callable cannot be converted"),
    "complex": (complex, "complex cannot be converted"),
    "deque": (collections.deque, "deque cannot be converted"),
    "defaultdict": (collections.defaultdict, "defaultdict cannot be converted"),
    "a type variable": (List[T], "type variable"),  # type: ignore[valid-type]
    "an enum of tuples": (Pair, "str or all int values"),
    "an ambiguous union": (Union[str, date], "more than one str-like type"),
    "a dataclass with InitVar": (Noted, "InitVar"),
    "two dataclasses": (Union[Leaf, Node], "more than one dataclass"),
    "both libraries": (Tuple[Order, Item], "mixes types of pydantic and of msgspec"),
    "a class in a union with a model": (Union[Order, Own], "Own"),
}


@pytest.mark.parametrize(("annotation", "words"), UNCONVERTIBLE.values(), ids=UNCONVERTIBLE)
def test_an_annotation_without_conversion_is_refused_when_the_task_is_declared(annotation: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match="the annotation of 'x' cannot be used") as refused:
        of(annotation)

    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("annotation", "default"), [(date, "2026-01-01"), (Tuple[int, int], [1, 2]), (Colour, "red"), (Leaf, {})]
)
def test_a_default_has_to_fit_its_annotation(annotation: Any, default: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"the default of 'x'.*use None"):
        of(annotation, default)


def test_defaults_of_any_convertible_type_are_accepted() -> None:
    for annotation, default in (
        (date, date(2026, 1, 1)),
        (Tuple[int, int], (1, 2)),
        (Colour, Colour.RED),
        (date, None),
    ):
        assert of(annotation, default).encode((), {}) == {}


def test_several_arguments_are_converted_one_by_one() -> None:
    def function(*days: date, **colours: Colour) -> None: ...

    arguments = Arguments(function, "task", takes_context=False)
    body = arguments.encode((date(2026, 1, 2),), {"a": Colour.RED})

    assert body == {"days": ["2026-01-02"], "colours": {"a": "red"}}
    assert arguments.decode(body) == ([date(2026, 1, 2)], {"a": Colour.RED})
    with pytest.raises(ArgumentsError, match=r"'days'\[1\] must be date, not int"):
        arguments.decode({"days": ["2026-01-02", 5]})
