"""Imports the handler that `package.module:callable` names."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, Callable, Dict

from bizzmq.consumer.handlers.shape import check
from bizzmq.errors import ConfigurationError
from bizzmq.utils import logs


class HandlerImportError(Exception):
    """The handler's module raised while it was imported. `__cause__` is what it raised."""


def split_spec(spec: str) -> tuple[str, str]:
    """The module and the callable of `package.module:callable`; the callable is "" for a module that has one app.

    Raises:
        ConfigurationError: the text is neither.
    """
    module, colon, name = spec.partition(":")
    if module.endswith(".py"):
        meant = module[:-3].replace(os.sep, ".").strip(".")
        raise ConfigurationError(
            f"{spec!r} names a file: drop the .py, and write the module as {meant}:{name or 'handler'}"
        )
    parts = [*module.split("."), *(name.split(".") if colon else ())]
    if not all(part.isidentifier() for part in parts):
        raise ConfigurationError(
            f"{spec!r} does not name a handler; write MODULE:CALLABLE, such as tasks:handler, or MODULE:APP"
        )
    return module, name


def search_path() -> list[str]:
    """Where modules of handlers are looked for: the current directory is importable."""
    here = str(Path.cwd())
    return sys.path if here in sys.path or "" in sys.path else [here, *sys.path]


def load(spec: str) -> Callable[..., Any]:
    """Import the callable that `module:callable` names, or an app's. The current directory is importable.

    Raises:
        ConfigurationError: the module or the attribute does not exist, or it cannot take a message. The text is one
            line.
        HandlerImportError: the module raised; `__cause__` has its traceback.
    """
    module_name, name = split_spec(spec)
    sys.path[:] = search_path()
    try:
        module = _import(module_name)
    except ConfigurationError as error:
        parent, _, meant = module_name.rpartition(".")
        hint = f"; a handler of a module is written as {parent}:{meant}" if parent and not name else ""
        raise ConfigurationError(f"{error}{hint}") from None
    logs.enable()  # logging.config disables existing loggers by default
    if not name:
        return handler_of(_only_app(module, module_name), f"the app of {module_name}")
    target: Any = module
    for part in name.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise ConfigurationError(_missing_attribute(module_name, name, str(Path.cwd()))) from None
    return handler_of(target, f"the handler {spec}", module)


def handler_of(target: Any, name: str = "the handler", module: Any = None) -> Callable[..., Any]:
    """The callable that takes messages: the target, or that of an app.

    Args:
        name: the target, for errors.
        module: where the target is from.

    Raises:
        ConfigurationError: it cannot take a message, or it is a single task.
    """
    owner = getattr(target, "app", None) if hasattr(type(target), "__bizzmq_task__") else None
    if owner is not None:
        names = [f"{module.__name__}:{name}" for name, app in _apps(module).items() if app is owner]
        raise ConfigurationError(
            f"{name} is a task: a pool runs its app, {names[0] if names else 'which is elsewhere'}"
        )
    make = getattr(type(target), "__bizzmq_handler__", None)  # an app has a handler of its own
    if make is not None:
        target = make(target)
    check(target, name)
    function: Callable[..., Any] = target
    return function


def _import(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ConfigurationError(f"there is no module {missing!r} here; is it in {Path.cwd()}?") from None
        raise HandlerImportError(f"importing {module_name!r} failed") from error
    except SystemExit as error:
        raise HandlerImportError(f"importing {module_name!r} exits, as code that reads the command line may") from error
    except BaseException as error:
        raise HandlerImportError(f"importing {module_name!r} failed") from error


def _apps(module: Any) -> Dict[str, Any]:
    """The apps among the names of a module, each under its first name."""
    found: Dict[str, Any] = {}
    for name, value in vars(module).items() if module is not None else ():
        if hasattr(type(value), "__bizzmq_handler__") and all(value is not other for other in found.values()):
            found[name] = value
    return found


def _only_app(module: Any, name: str) -> Any:
    apps = _apps(module)
    if len(apps) == 1:
        return next(iter(apps.values()))
    if apps:
        named = " or ".join(f"{name}:{one}" for one in apps)
        raise ConfigurationError(f"module {name!r} has several apps: name one, {named}")
    raise ConfigurationError(
        f"module {name!r} has no App; a handler is named as {name}:CALLABLE, such as {name}:handler"
    )


def _missing_attribute(module_name: str, name: str, here: str) -> str:
    """The error text for a module without this attribute. It names the module's file, which may be another one."""
    found = getattr(sys.modules.get(module_name), "__file__", None)
    own = Path(here, *module_name.split(".")).with_suffix(".py")
    text = f"module {module_name!r} has no {name!r}"
    if found is None:
        return f"{text}: it is built into Python; give yours another name" if own.exists() else text
    if own.exists() and not own.samefile(found):
        return f"{text}: it is {found}, and not {own}, which needs another name"
    return f"{text}: it is {found}"
