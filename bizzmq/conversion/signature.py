"""The signature of a task's function, and the conversions of its annotations."""

from __future__ import annotations

import inspect
import sys
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Type

from bizzmq.conversion.annotation import Conversion, conversion, fits, with_none
from bizzmq.conversion.hints import UNDEFINED, resolved
from bizzmq.conversion.json_types import Convert, part
from bizzmq.conversion.problems import Unconvertible, Unfit, mismatch
from bizzmq.errors import ConfigurationError

_P = inspect.Parameter
POSITIONAL = (_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD)
SEVERAL = (_P.VAR_POSITIONAL, _P.VAR_KEYWORD)
"""The kinds of a parameter that takes any number of arguments."""


class Signature:
    """The parameters of what a task calls, without the one for the context.

    Attributes:
        python: the signature, as `inspect` describes it.

    Raises:
        ConfigurationError: the signature is unknown, or it has no place for the context.
    """

    def __init__(self, function: Callable[..., Any], task: str, *, takes_context: bool) -> None:
        self._task = task
        self._names = _names(function)
        try:
            self.python = inspect.signature(function)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"task {task!r} has unknown parameters: {error}; wrap it in a function") from None
        if takes_context:
            parameters = list(self.python.parameters.values())
            if not parameters or parameters[0].kind not in POSITIONAL:
                raise ConfigurationError(f"task {task!r} needs a first parameter for the context")
            self.python = self.python.replace(parameters=parameters[1:])

    def of_parameter(self, parameter: inspect.Parameter, *, is_last_try: bool) -> Optional[Conversion]:
        """The conversion of a parameter, or of each argument of `*args` and `**kwargs`.

        Returns:
            None if a name is not defined yet, and this is not the last try.

        Raises:
            ConfigurationError: there is no conversion, or the default is no JSON value.
        """
        name = parameter.name
        found = self._of(parameter.annotation, f"the annotation of {name!r}", is_last_try=is_last_try)
        if found is None or parameter.kind in SEVERAL:
            return found and several(found, parameter.kind)
        if parameter.default is _P.empty:
            return found
        if parameter.default is None:
            return found if fits(found, None) else with_none(found)
        try:
            found.encode(parameter.default)
        except Unfit as unfit:
            raise ConfigurationError(
                f"task {self._task!r}: the default of {name!r}{unfit.path} {unfit.problem}; "
                "use None as the default, and make the value in the function"
            ) from None
        return found

    def of_result(self) -> Conversion:
        """The conversion of the result. Raises ConfigurationError if there is none."""
        found = self._of(self.python.return_annotation, "the annotation of the result", is_last_try=True)
        assert found
        return found

    def _of(self, annotation: Any, what: str, *, is_last_try: bool) -> Optional[Conversion]:
        try:
            return conversion(resolved(annotation, self._names))
        except Unconvertible as error:
            raise ConfigurationError(f"task {self._task!r}: {what} cannot be used: {error}") from None
        except UNDEFINED as error:
            if not is_last_try:
                return None
            raise ConfigurationError(
                f"task {self._task!r}: {what} cannot be looked up: {error}; "
                "define or import it in the module itself, not under `if TYPE_CHECKING`"
            ) from None


def several(each: Conversion, kind: Any) -> Conversion:
    """The conversion of all arguments of `*args` or `**kwargs`, from that of each."""
    if kind is _P.VAR_POSITIONAL:
        return Conversion(partial(_each, each.encode, tuple), partial(_each, each.decode, list))
    return Conversion(partial(_each_named, each.encode), partial(_each_named, each.decode))


def _each(convert: Convert, kind: Type[Sequence[Any]], values: Any) -> List[Any]:
    if not isinstance(values, kind):
        raise mismatch(kind, values)
    return [part(convert, value, place) for place, value in enumerate(values)]


def _each_named(convert: Convert, values: Any) -> Dict[str, Any]:
    if type(values) is not dict:
        raise mismatch(dict, values)
    return {name: part(convert, value, name) for name, value in values.items()}


def _names(function: Any) -> Dict[str, Any]:
    """The names of the module in which the annotations of a callable are written."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function, stop=lambda wrapper: hasattr(wrapper, "__signature__"))
    call = getattr(type(function), "__call__", None)  # noqa: B004 - it is looked into
    for candidate in (function, getattr(function, "__func__", None), call):
        names: Optional[Dict[str, Any]] = getattr(candidate, "__globals__", None)
        if names is not None:
            return names
    return vars(sys.modules.get(getattr(function, "__module__", ""), sys))
