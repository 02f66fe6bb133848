"""How a call comes back through the arguments of a task."""

from __future__ import annotations

from typing import Any, Callable

from bizzmq.app.arguments import Arguments
from bizzmq.protocol import json_codec


def of(function: Callable[..., Any], *, takes_context: bool = False) -> Arguments:
    return Arguments(function, "task", takes_context=takes_context)


def through(arguments: Arguments, *args: Any, **kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
    """What the function is called with, after its arguments have travelled as JSON."""
    positional, named = arguments.decode(json_codec.loads(json_codec.dumps(arguments.encode(args, kwargs))))
    return list(positional), named


def plain(path: str, width: int = 200, *, fast: bool = False) -> None: ...
def untyped(a, b=2): ...  # type: ignore[no-untyped-def]
