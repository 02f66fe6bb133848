"""Classes of users, and how a value comes back through the arguments of a task."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, List, Optional, Set

import pytest
from hypothesis import strategies as st

from bizzmq.app.arguments import Arguments
from bizzmq.protocol import json_codec

msgspec = pytest.importorskip("msgspec")
pydantic = pytest.importorskip("pydantic")


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


@dataclass
class Node:
    """It contains itself, and what is defined below."""

    value: int
    children: List[Node] = field(default_factory=list)
    leaf: Optional[Leaf] = None


@dataclass(frozen=True)
class Leaf:
    weight: float
    day: date


class Order(pydantic.BaseModel):
    number: int
    due: Optional[date] = None
    tags: Set[str] = pydantic.Field(default_factory=set)
    node: Optional[Node] = None


class Item(msgspec.Struct, tag=True):
    price: Decimal
    parts: List[Item] = msgspec.field(default_factory=list)


def of(annotation: Any, default: Any = ...) -> Arguments:
    def function(x): ...  # type: ignore[no-untyped-def]

    def with_default(x=default): ...  # type: ignore[no-untyped-def]

    chosen: Any = function if default is ... else with_default
    chosen.__annotations__ = {"x": annotation}
    return Arguments(chosen, "task", takes_context=False)


def through(annotation: Any, value: Any) -> Any:
    """What the function gets, after a value has travelled as JSON."""
    arguments = annotation if isinstance(annotation, Arguments) else of(annotation)
    body = json_codec.loads(json_codec.dumps(arguments.encode((value,), {})))
    return arguments.decode(body)[1]["x"]


days, texts = st.dates(), st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
leaves = st.builds(Leaf, finite, days)
nodes = st.recursive(
    st.builds(Node, st.integers(), leaf=st.none() | leaves),
    lambda inner: st.builds(Node, st.integers(), st.lists(inner, max_size=3)),
    max_leaves=5,
)
