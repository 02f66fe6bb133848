"""The arguments and the result of a task: checked against its signature, and converted to JSON and back."""

from __future__ import annotations

from inspect import Parameter
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from bizzmq.conversion.annotation import Conversion
from bizzmq.conversion.json_types import Convert
from bizzmq.conversion.problems import Unfit
from bizzmq.conversion.signature import POSITIONAL, SEVERAL, Signature
from bizzmq.errors import ArgumentsError, ConfigurationError, DecodeError, EncodeError
from bizzmq.validation.checks import shown

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_NEVER = {""}
"""What no object has: a parameter without a name."""


class Arguments:
    """The arguments and the result of a task as JSON, by the signature and the annotations of its function.

    The JSON of a call is an object: parameter name -> value. It has the given arguments only, because defaults belong
    to the worker's code. `*args` is a list under its own name, and `**kwargs` is an object under its own name.

    An annotation may name what is defined later in the module. It is then looked up at the first use, or by `check`.

    Args:
        function: what the task calls.
        task: the name of the task, for errors.
        takes_context: the first parameter is for the context, and no argument is passed for it.

    Raises:
        ConfigurationError: an annotation or a default has no conversion to JSON, or the signature is unknown.
    """

    def __init__(self, function: Callable[..., Any], task: str, *, takes_context: bool) -> None:
        self._task = task
        self._signature = Signature(function, task, takes_context=takes_context)
        self._parameters = tuple(self._signature.python.parameters.values())
        self._by_name = {p.name for p in self._parameters if p.kind in _BY_NAME}
        self._by_place: Tuple[Any, ...] = (Parameter.POSITIONAL_ONLY,)
        self._positional: Tuple[str, ...] = ()
        self._simply_required = _NEVER
        if any(p.kind is Parameter.VAR_POSITIONAL for p in self._parameters):
            self._by_place = POSITIONAL
        if len(self._by_name) == len(self._parameters):
            self._positional = tuple(p.name for p in self._parameters if p.kind is Parameter.POSITIONAL_OR_KEYWORD)
            self._simply_required = {p.name for p in self._parameters if p.default is Parameter.empty}
        self._exact: Dict[str, Any] = {}
        self._encode: Dict[str, Convert] = {}
        self._decode: Dict[str, Convert] = {}
        self._result: Optional[Conversion] = None
        self._pending = self._parameters
        self._convert_pending(is_last_try=False)

    def _convert_pending(self, *, is_last_try: bool) -> None:
        pending: List[Parameter] = []
        for parameter in self._pending:
            found = self._signature.of_parameter(parameter, is_last_try=is_last_try)
            if found is None:
                pending.append(parameter)
                continue
            self._exact[parameter.name] = found.exact
            self._encode[parameter.name] = found.encode
            self._decode[parameter.name] = found.decode
        self._pending = tuple(pending)

    def check(self, *, result: bool = False) -> None:
        """Look up the annotations that named what was not defined at that time; with `result`, the result's, too.

        Raises:
            ConfigurationError: an annotation or a default has no conversion to JSON.
        """
        self._convert_pending(is_last_try=True)
        if result:
            self._result = self._signature.of_result()

    def encode(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Dict[str, Any]:
        """The JSON object for a call with these arguments.

        Raises:
            ArgumentsError: the call does not fit the signature, an argument does not fit its annotation, or it would
                arrive changed.
            ConfigurationError: an annotation has no conversion to JSON.
        """
        if self._pending:
            self.check()
        body: Dict[str, Any] = dict(zip(self._positional, args))
        if kwargs:
            body.update(kwargs)
        if len(body) != len(args) + len(kwargs) or not body.keys() >= self._simply_required:
            return self._encode_bound(args, kwargs)
        exact, encode, name = self._exact, self._encode, ""
        try:
            for name, value in body.items():
                if type(value) is not exact.get(name):
                    if name not in encode:
                        return self._encode_bound(args, kwargs)
                    body[name] = encode[name](value)
        except Unfit as unfit:
            raise self._unfit(name, unfit) from unfit
        return body

    def _encode_bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Dict[str, Any]:
        try:
            given = self._signature.python.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise self._error(str(error)) from None
        return {name: self._converted(self._encode, name, value) for name, value in given.items()}

    def decode(self, body: Any) -> Tuple[Sequence[Any], Dict[str, Any]]:
        """The positional and the keyword arguments for the function, from a JSON value.

        Arguments are positional only where the signature has `*args` or positional-only parameters.

        Raises:
            ArgumentsError: the value is no object, has wrong names, or an argument does not fit its annotation.
            ConfigurationError: an annotation has no conversion to JSON.
        """
        if type(body) is not dict:
            raise self._error(f"the arguments must be a JSON object, not {type(body).__name__}")
        if self._pending:
            self.check()
        if not body.keys() >= self._simply_required:
            return self._decode_bound(body)
        exact, decode, name, made = self._exact, self._decode, "", body
        try:
            for name, value in body.items():
                if type(value) is not exact.get(name):
                    if name not in decode:
                        return self._decode_bound(body)
                    argument = decode[name](value)
                    if argument is not value:
                        made = dict(body) if made is body else made
                        made[name] = argument
        except Unfit as unfit:
            raise self._unfit(name, unfit) from unfit
        return (), made

    def _decode_bound(self, body: Dict[str, Any]) -> Tuple[Sequence[Any], Dict[str, Any]]:
        positional: List[Any] = []
        named: Dict[str, Any] = {}
        for parameter in self._parameters:
            name, kind = parameter.name, parameter.kind
            if name in body:
                value = self._converted(self._decode, name, body[name])
            elif kind in SEVERAL:
                continue
            elif parameter.default is Parameter.empty:
                raise self._error(f"missing a required argument: {name!r}")
            else:
                value = parameter.default
            if kind is Parameter.VAR_POSITIONAL:
                positional += value
            elif kind is Parameter.VAR_KEYWORD:
                named = self._joined(named, value)
            elif kind in self._by_place:
                positional.append(value)
            elif name in body:
                named[name] = value
        self._refuse_unknown(body)
        return positional, named

    def _joined(self, named: Dict[str, Any], more: Dict[str, Any]) -> Dict[str, Any]:
        for name in more:
            if name in self._by_name:
                raise self._error(f"multiple values for argument {name!r}")
        return {**named, **more}

    def _refuse_unknown(self, body: Dict[str, Any]) -> None:
        for name in body:
            if name not in self._decode:
                raise self._error(f"got an unexpected keyword argument {shown(name)}")

    def _converted(self, converts: Mapping[str, Convert], name: str, value: Any) -> Any:
        try:
            return converts[name](value)
        except Unfit as unfit:
            raise self._unfit(name, unfit) from unfit

    def _unfit(self, name: str, unfit: Unfit) -> ArgumentsError:
        return self._error(f"{name!r}{unfit.path} {unfit.problem}")

    def _error(self, text: str) -> ArgumentsError:
        return ArgumentsError(f"task {self._task!r}: {text}")

    def encode_result(self, value: Any) -> Any:
        """The JSON value for what the function has returned.

        Raises:
            EncodeError: it does not fit the annotation, would arrive changed, or has no conversion.
        """
        try:
            return self._of_result().encode(value)
        except Unfit as unfit:
            raise EncodeError(self._about_result(unfit)) from unfit
        except ConfigurationError as error:
            raise EncodeError(str(error)) from error

    def decode_result(self, value: Any) -> Any:
        """What the function has returned, from its JSON value.

        Raises:
            DecodeError: the value does not fit the annotation, or there is no conversion.
        """
        try:
            return self._of_result().decode(value)
        except Unfit as unfit:
            raise DecodeError(self._about_result(unfit)) from unfit
        except ConfigurationError as error:
            raise DecodeError(str(error)) from error

    def _of_result(self) -> Conversion:
        if self._result is None:
            self._result = self._signature.of_result()
        return self._result

    def _about_result(self, unfit: Unfit) -> str:
        return f"task {self._task!r}: the result{unfit.path} {unfit.problem}"
