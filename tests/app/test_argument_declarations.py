"""The declarations of a task's arguments, and its results."""

from __future__ import annotations

import functools
import math
import threading
from typing import Any, List, Literal, TypeVar, Union

import pytest

from bizzmq.app.arguments import Arguments
from bizzmq.errors import ArgumentsError, ConfigurationError, DecodeError, EncodeError
from tests.app.called_arguments import of, plain, through, untyped

Name = TypeVar("Name")


def test_defaults_do_not_travel_unless_they_are_given() -> None:
    assert of(plain).encode(("a",), {}) == {"path": "a"}
    assert of(plain).encode(("a", 200), {"fast": False}) == {"path": "a", "width": 200, "fast": False}


@pytest.mark.parametrize(
    ("default", "annotation"),
    [
        ((1, 2), None),
        ({1}, None),
        (math.inf, "float"),
        (object(), None),
        (object(), "int"),
        ("x", "int"),
        (True, "int"),
    ],
)
def test_a_default_that_is_no_json_is_refused_when_the_task_is_declared(default: Any, annotation: Any) -> None:
    def function(x=default): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {} if annotation is None else {"x": annotation}

    with pytest.raises(ConfigurationError, match=r"the default of 'x' .*use None as the default"):
        of(function)


def test_a_default_of_none_allows_none() -> None:
    def function(x=None, y=None): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {"x": int, "y": List[int]}

    arguments = of(function)

    assert through(arguments, None, y=None) == ([], {"x": None, "y": None})
    with pytest.raises(ArgumentsError):
        arguments.encode(("1",), {})


def later(x: Later, y: List[Later]) -> Later: ...


EARLY = Arguments(later, "early", takes_context=False)
Later = int


def test_an_annotation_may_name_what_is_defined_later() -> None:
    assert EARLY.encode((1, [2]), {}) == {"x": 1, "y": [2]}
    with pytest.raises(ArgumentsError):
        EARLY.decode({"x": "1", "y": []})
    assert EARLY.encode_result(3) == 3


def missing(x: Missing, y: int) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def test_a_name_that_is_never_defined_is_an_error_at_the_check_and_at_the_first_use() -> None:
    arguments = of(missing)

    for use in (arguments.check, lambda: arguments.encode((1, 2), {}), lambda: arguments.decode({"x": 1, "y": 2})):
        with pytest.raises(ConfigurationError, match="the annotation of 'x' cannot be looked up: name 'Missing'"):
            use()


@pytest.mark.parametrize(
    "annotation", ["1 +", "", "int int", "(", "List[", 5, 1.5, [], "T", "List[T]", "Literal[b'x']"]
)
def test_an_annotation_that_is_no_type_is_an_error_in_one_line(annotation: Any) -> None:
    def function(x): ...  # type: ignore[no-untyped-def]

    function.__annotations__ = {"x": annotation}
    function.__globals__.update(T=Name, List=List, Literal=Literal)

    with pytest.raises(ConfigurationError, match="task 'task': the annotation of 'x' cannot be used: ") as refused:
        of(function)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("function", [min, dict.get, type("Odd", (), {"__signature__": 5})()])
def test_a_callable_without_a_known_signature_is_refused(function: Any) -> None:
    try:
        arguments = of(function)
    except ConfigurationError as error:
        assert "unknown parameters" in str(error)  # noqa: PT017 - some Pythons know more signatures
    else:
        assert isinstance(arguments.encode(({}, 1), {}), dict)


def test_a_signature_without_room_for_the_context_is_refused() -> None:
    for function in (lambda: None, lambda *_: None, lambda *, _: None):
        with pytest.raises(ConfigurationError, match="a first parameter for the context"):
            of(function, takes_context=True)


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Called:
    def __call__(self, path: str, width: int = 200) -> None: ...

    def method(self, path: str, width: int = 200) -> None: ...


@pytest.mark.parametrize(
    "function",
    [wrapped(plain), wrapped(wrapped(plain)), functools.partial(plain, fast=True), Called(), Called().method,
     functools.partial(wrapped(plain))],
)  # fmt: skip
def test_wrapped_functions_and_objects_keep_their_annotations(function: Any) -> None:
    arguments = of(function)

    assert through(arguments, "a", width=3) == ([], {"path": "a", "width": 3})
    with pytest.raises(ArgumentsError, match="'width' must be int"):
        arguments.encode(("a", "3"), {})


def test_arguments_of_a_partial_are_no_arguments_of_the_task() -> None:
    arguments = of(functools.partial(plain, "a"))

    assert arguments.encode((3,), {}) == {"width": 3}
    with pytest.raises(ArgumentsError):
        arguments.encode((), {"path": "b"})


def test_threads_may_use_a_task_for_the_first_time_together() -> None:
    errors: list[BaseException] = []
    for _ in range(50):
        arguments = Arguments(later, "early", takes_context=False)
        start = threading.Barrier(4)

        def use(arguments: Arguments = arguments, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                assert arguments.encode((1, [2]), {}) == {"x": 1, "y": [2]}
                assert arguments.decode({"x": 1, "y": [2]}) == ((), {"x": 1, "y": [2]})
            except BaseException as error:  # noqa: BLE001 - shown below
                errors.append(error)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert errors == []


def test_a_result_is_converted_by_its_annotation() -> None:
    def function() -> List[float]: ...  # type: ignore[empty-body]

    arguments = of(function)

    assert repr(arguments.encode_result([1])) == "[1.0]"
    assert repr(arguments.decode_result([1])) == "[1.0]"
    with pytest.raises(EncodeError, match=r"task 'task': the result\[0\] must be float, not str"):
        arguments.encode_result(["1"])
    with pytest.raises(DecodeError, match="task 'task': the result must be list, not int"):
        arguments.decode_result(5)


def test_a_result_without_annotation_is_json() -> None:
    arguments = of(untyped)

    assert arguments.encode_result({"a": [1, None]}) == {"a": [1, None]}
    with pytest.raises(EncodeError, match="the result is a tuple, which would arrive as a list"):
        arguments.encode_result((1, 2))


def test_the_annotation_of_a_result_matters_only_if_the_result_is_kept() -> None:
    def function() -> Union[Missing, int]: ...  # type: ignore[name-defined]  # noqa: F821

    arguments = of(function)

    arguments.check()
    with pytest.raises(ConfigurationError, match="the annotation of the result cannot be looked up"):
        arguments.check(result=True)
    with pytest.raises(EncodeError, match="the annotation of the result"):
        arguments.encode_result(1)
    with pytest.raises(DecodeError, match="the annotation of the result"):
        arguments.decode_result(1)
