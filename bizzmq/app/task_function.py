"""The function of a task: whether it can be one, and the name under which a worker finds it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bizzmq.consumer.handlers import shape as handler_shape
from bizzmq.errors import ConfigurationError
from bizzmq.validation import checks


def check_kind(function: Any) -> None:
    """Raise ConfigurationError for what is not a function, or has no name under which a worker finds it."""
    if not callable(function) or isinstance(function, (type, staticmethod, classmethod)):
        raise ConfigurationError(f"a task must be a function, not {checks.shown(function)}")
    if getattr(function, "__name__", "") == "<lambda>":
        raise ConfigurationError("a lambda cannot be a task, since it has no name: write it with def")
    qualified = getattr(function, "__qualname__", "")
    if "." in qualified.rpartition("<locals>.")[2] or handler_shape.self_problem(function):
        raise ConfigurationError(f"{qualified} is a method and cannot be a task: write a function that calls it")


def default_name(function: Any) -> str:
    """The name of a task that has none of its own: module and function, as others import them.

    Raises:
        ConfigurationError: the function is inside another one, where no worker finds it.
    """
    module, qualified = getattr(function, "__module__", None) or "", getattr(function, "__qualname__", "")
    if "<locals>" in qualified:
        raise ConfigurationError(
            f"{qualified} is inside another function, where a worker does not find it: move it to the module's level, "
            "or give the task a name"
        )
    module = module_name(module)
    return f"{module}.{qualified or type(function).__name__}" if module else str(qualified)


def module_name(module: str) -> str:
    """The name under which a worker imports a module, also that of the program."""
    if module != "__main__":
        return module
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
