"""The arguments of a call as JSON, and back: signatures, names, defaults, and whatever a body may be."""

from __future__ import annotations

import collections
import math
from typing import Any, Dict, List, Optional, Union

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bizzmq.errors import ArgumentsError, EncodeError
from bizzmq.protocol import json_codec
from tests.app.called_arguments import of, plain, through, untyped
from tests.protocol.test_bodies import json_values, same
from tests.support.examples import examples

often = settings(max_examples=examples(50), deadline=None, database=None)


def positional_only(a, b: int = 5, /, c: int = 6): ...  # type: ignore[no-untyped-def]
def with_args(a: str, b: int = 2, *rest: int, c: bool = True) -> None: ...
def with_kwargs(a: str, **rest: float) -> None: ...
def with_both(a: int, /, *args: int, **kwargs: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "body", "received"),
    [
        (plain, ("a",), {}, {"path": "a"}, ([], {"path": "a"})),
        (plain, ("a", 1), {"fast": True}, {"path": "a", "width": 1, "fast": True}, None),
        (plain, (), {"width": 200, "path": "a"}, {"width": 200, "path": "a"}, None),
        (untyped, (1,), {"b": [None]}, {"a": 1, "b": [None]}, None),
        (positional_only, (1,), {}, {"a": 1}, ([1, 5], {})),
        (positional_only, (1, 2), {"c": 3}, {"a": 1, "b": 2, "c": 3}, ([1, 2], {"c": 3})),
        (with_args, ("a",), {}, {"a": "a"}, (["a", 2], {})),
        (with_args, ("a", 1, 7, 8), {"c": False}, {"a": "a", "b": 1, "rest": [7, 8], "c": False},
         (["a", 1, 7, 8], {"c": False})),
        (with_kwargs, ("a",), {"x": 1}, {"a": "a", "rest": {"x": 1.0}}, ([], {"a": "a", "x": 1.0})),
        (with_kwargs, ("a",), {"rest": 2.0}, {"a": "a", "rest": {"rest": 2.0}}, ([], {"a": "a", "rest": 2.0})),
        (with_both, (1, 2), {"a": 3, "kwargs": 4}, {"a": 1, "args": [2], "kwargs": {"a": 3, "kwargs": 4}},
         ([1, 2], {"a": 3, "kwargs": 4})),
    ],
)  # fmt: skip
def test_a_body_has_the_given_arguments_by_name(
    function: Any, args: Any, kwargs: Any, body: Any, received: Any
) -> None:
    arguments = of(function)

    assert arguments.encode(args, kwargs) == body
    assert through(arguments, *args, **kwargs) == (received or ([], body))


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "words"),
    [
        (plain, (), {}, "missing a required argument: 'path'"),
        (plain, ("a", 1, 2), {}, "too many positional arguments"),
        (plain, ("a",), {"path": "b"}, "multiple values for argument 'path'"),
        (plain, ("a",), {"heigth": 1}, "got an unexpected keyword argument 'heigth'"),
        (plain, (), {1: 2, "path": "a"}, "keywords must be strings"),
        (plain, ("a", "1"), {}, "'width' must be int, not str"),
        (plain, ("a",), {"fast": 1}, "'fast' must be bool, not int"),
        (with_args, ("a", 1, 2, "x"), {}, "'rest'[1] must be int, not str"),
        (with_kwargs, ("a",), {"x": "1"}, "'rest'['x'] must be float, not str"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_in_pythons_words(
    function: Any, args: Any, kwargs: Any, words: str
) -> None:
    with pytest.raises(ArgumentsError) as refused:
        of(function).encode(args, kwargs)

    assert str(refused.value).startswith("task 'task': ")
    assert words in str(refused.value)
    assert isinstance(refused.value, TypeError)


@pytest.mark.parametrize(
    ("function", "body", "words"),
    [
        (plain, None, "must be a JSON object, not NoneType"),
        (plain, [1], "must be a JSON object, not list"),
        (plain, {}, "missing a required argument: 'path'"),
        (plain, {"path": "a", "heigth": 1}, "got an unexpected keyword argument 'heigth'"),
        (plain, {"path": "a", "x" * 10_000: 1}, "got an unexpected keyword argument"),
        (plain, {"path": 1}, "'path' must be str, not int"),
        (with_args, {"a": "a", "rest": 5}, "'rest' must be list, not int"),
        (with_args, {"a": "a", "rest": "abc"}, "'rest' must be list, not str"),
        (with_args, {"rest": [1]}, "missing a required argument: 'a'"),
        (with_kwargs, {"a": "a", "rest": [1]}, "'rest' must be dict, not list"),
        (with_kwargs, {"a": "a", "rest": {"a": 1.0}}, "multiple values for argument 'a'"),
        (with_kwargs, {"a": "a", "b": 1}, "got an unexpected keyword argument 'b'"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_in_a_line(function: Any, body: Any, words: str) -> None:
    with pytest.raises(ArgumentsError) as refused:
        of(function).decode(body)

    assert words in str(refused.value)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("function", [plain, untyped, positional_only, with_args, with_kwargs, with_both])
def test_any_json_is_decoded_or_refused_and_nothing_else(function: Any) -> None:
    arguments = of(function)
    names = st.sampled_from(["path", "width", "fast", "a", "b", "c", "rest", "args", "kwargs"]) | st.text()

    @often
    @given(json_values | st.dictionaries(names, json_values | st.text() | st.integers()))
    @example({"a": 1, "kwargs": {"a": 2}})
    def check(body: Any) -> None:
        try:
            args, kwargs = arguments.decode(body)
        except ArgumentsError:
            return
        function(*args, **kwargs)

    check()


@often
@given(json_values)
def test_any_json_comes_back_as_it_was(value: Any) -> None:
    arguments = of(untyped)
    try:
        encoded = json_codec.dumps(arguments.encode((value,), {"b": value}))
    except (ArgumentsError, EncodeError):
        with pytest.raises(EncodeError):
            json_codec.dumps(value)
        return

    _, received = arguments.decode(json_codec.loads(encoded))

    assert same(received["a"], value)
    assert same(received["b"], value)


def test_a_body_is_not_changed_by_decoding_it() -> None:
    def function(x: float, y: float) -> None: ...

    body = {"x": 1, "y": 2}

    _, kwargs = of(function).decode(body)

    assert (kwargs, body) == ({"x": 1.0, "y": 2.0}, {"x": 1, "y": 2})
    assert [type(value) for value in body.values()] == [int, int]


def test_the_parameter_of_the_context_is_no_argument() -> None:
    def function(context, x: int): ...  # type: ignore[no-untyped-def]

    arguments = of(function, takes_context=True)

    assert arguments.encode((1,), {}) == {"x": 1}
    with pytest.raises(ArgumentsError, match="unexpected keyword argument 'context'"):
        arguments.decode({"x": 1, "context": 1})


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Cyclic(list):  # type: ignore[type-arg]
    pass


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append({"a": value})
    return value


CHANGED: Dict[str, Any] = {
    "tuple": (1,), "set": {1}, "int keys": {1: 2}, "None keys": {None: 1}, "bool keys": {True: 1}, "NaN": math.nan,
    "infinity": -math.inf, "bytes": b"x", "bytearray": bytearray(b"x"), "str subclass": Text("x"),
    "int subclass": Whole(1), "list subclass": Cyclic(), "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(int), "key of a str subclass": {Text("a"): 1}, "object": object(),
    "function": len, "class": int, "complex": 1j, "generator": (n for n in ()), "too deep": nested(300),
    "cycle": cyclic(), "range": range(3), "view": {}.keys(), "error": ValueError("x"),
}  # fmt: skip


@pytest.mark.parametrize("value", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("around", [lambda value: value, lambda value: [0, value], lambda value: {"a": [value]}],
                         ids=["alone", "in a list", "in a dict"])  # fmt: skip
@pytest.mark.parametrize("annotation", [None, Any, List[Any], Dict[str, Any], "Union[List[Any], Dict[str, List[Any]]]"])
def test_what_json_would_change_is_refused(value: Any, around: Any, annotation: Any) -> None:
    def function(x): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {} if annotation is None else {"x": annotation}
    function.__globals__.update(Union=Union)

    with pytest.raises(ArgumentsError, match=r"task 'task': 'x'.* (is|must be|has) ") as refused:
        of(function).encode((around(value),), {})

    assert len(str(refused.value)) < 300


def test_values_of_numpy_are_refused_with_advice() -> None:
    numpy = pytest.importorskip("numpy")

    def function(a=0, b: float = 0.0, c: int = 0): ...  # type: ignore[no-untyped-def]

    for name, value in (("a", numpy.int64(1)), ("a", numpy.array([1])), ("b", numpy.float64(1)), ("c", numpy.int8(1))):
        with pytest.raises(ArgumentsError, match=r"convert it with \.item\(\) or \.tolist\(\)"):
            of(function).encode((), {name: value})


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("Optional[int]", [1, None], [True, 1.0, "1"]),
        ("Union[int, float]", [1, 1.5], [True, "1"]),
        ("Union[float, int]", [1, 1.5], [True, math.nan]),
        ("Union[str, List[int]]", ["a", [1]], [["a"], [True], 1]),
        ("Optional[Dict[str, Optional[bool]]]", [None, {}, {"a": None, "b": True}], [{"a": 1}, {1: True}]),
        ("Literal['a', 1, None]", ["a", 1, None], ["b", True, 1.0, [], {}]),
        ("Literal[True]", [True], [1, False]),
        ("Dict[Literal['a'], int]", [{"a": 1}, {}], [{"b": 1}]),
        ("Sequence[int]", [[1], []], [(1,), "ab", [1.0], {1}]),
        ("Iterable[str]", [["a"]], ["a", [1]]),
        ("Mapping[str, Any]", [{"a": [1]}], [{1: 1}, [], collections.OrderedDict()]),
        ("list", [[1, "a", None]], [(1,), [(1,)]]),
        ("dict", [{"a": 1}], [{1: 1}, {"a": (1,)}]),
        ("None", [None], [0, False, ""]),
        ("object", [None, 1, {"a": 1.5}], [(1,), b""]),
        ("float", [0.1, -0.0, 1e300], [True, math.inf, "1", 10**400, 2**53 + 1]),
    ],
)
def test_json_types_are_exact(annotation: str, good: list[Any], bad: list[Any]) -> None:
    def function(x): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {"x": annotation}
    function.__globals__.update({name: getattr(__import__("typing"), name) for name in NAMES})
    arguments = of(function)

    for value in good:
        assert same(through(arguments, value)[1]["x"], value)
    for value in bad:
        with pytest.raises(ArgumentsError):
            arguments.encode((value,), {})


NAMES = ("Optional", "Union", "List", "Dict", "Literal", "Sequence", "Iterable", "Mapping", "Any")


def test_an_int_for_a_float_arrives_as_a_float() -> None:
    def function(x: float, many: List[float], named: Dict[str, Optional[float]]) -> None: ...

    arguments = of(function)

    assert repr(arguments.encode((1, [2, 0.5], {"a": 3, "b": None}), {})) == repr(
        {"x": 1.0, "many": [2.0, 0.5], "named": {"a": 3.0, "b": None}}
    )
    assert repr(arguments.decode({"x": 1, "many": [2], "named": {}})[1]) == repr({"x": 1.0, "many": [2.0], "named": {}})
