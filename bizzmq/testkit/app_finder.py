"""Finds the user's app by its name, and its name by the app."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Iterator

from bizzmq.app.app import App
from bizzmq.errors import ConfigurationError


def find_app(spec: str, root: Path) -> App:
    """The app that `MODULE:APP` names, or that the module has if only `MODULE` is given.

    Args:
        root: a directory whose modules can be imported, too.

    Raises:
        ConfigurationError: there is no such app. The text is one line.
        Exception: the import raises it.
    """
    module_name, _, name = spec.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or (":" in spec and not name.isidentifier()):
        raise ConfigurationError(f"{spec!r} does not name an app: write MODULE:APP, such as tasks:app")
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"{spec!r}: there is no module {error.name!r} to import") from None
    if name:
        app = getattr(module, name, None)
        if not isinstance(app, App):
            raise ConfigurationError(f"{spec!r}: {module_name} has no app of this name")
        return app
    apps = [app for _, app in _apps_of(module)]
    if len(apps) != 1:
        raise ConfigurationError(f"{spec!r}: {module_name} has {len(apps) or 'no'} apps: write {module_name}:APP")
    return apps[0]


def name_of(app: App) -> str:
    """The name of an app as `MODULE:APP`, by which another process imports it.

    Raises:
        ConfigurationError: it has none, because it is no variable of a module.
    """
    own = [getattr(task.function, "__module__", "") for task in app.tasks.values()]
    for module_name in (*own, *sorted(sys.modules)):
        module = sys.modules.get(module_name)
        if module is None or module_name == "__main__":
            continue
        for name, found in _apps_of(module):
            if found is app:
                return f"{module_name}:{name}"
    raise ConfigurationError("a pool cannot import this app: make it a variable of a module, such as app in tasks.py")


def _apps_of(module: ModuleType) -> Iterator[tuple[str, App]]:
    for name, value in list(getattr(module, "__dict__", {}).items()):
        if issubclass(type(value), App):  # isinstance would load lazy objects
            yield name, value
