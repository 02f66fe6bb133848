"""Whether `MODULE:CALLABLE` is a plain handler, as far as the source shows it: nothing is imported.

A module that defines the name once, by `def`, `async def` or `class`, or imports it from such a module, has a plain
handler under it. An app is made by a call, so its name is assigned.
"""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

from bizzmq.consumer.handlers import loader as handler_loader

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LARGEST_BYTES = 4_000_000
_MOST_IMPORTS = 10
"""How often `from MODULE import NAME` is followed."""


def is_certain(spec: str, directory: str) -> bool:
    """Whether the source shows that this is a plain handler. False if that is not certain.

    Args:
        directory: the directory that the handler is imported from.
    """
    module, name = handler_loader.split_spec(spec)
    try:
        for _ in range(_MOST_IMPORTS if name else 0):
            path = _source_of(module, directory)
            if path is None or not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
                return False
            body = ast.parse(path.read_bytes()).body
            origin = _origin(body, name)
            if origin is None:
                return _defines(body, name.split("."))
            module, name = origin
        return False
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False  # the import will tell


def _source_of(module: str, directory: str) -> Optional[Path]:
    """The file that an import of this module would read, if it is an ordinary one."""
    known = sys.modules.get(module)
    if known is not None:
        file = getattr(known, "__file__", None)
        return Path(file) if isinstance(file, str) and file.endswith(".py") else None
    first, *rest = module.split(".")
    if first in sys.builtin_module_names or first in sys.modules:
        return None  # a package that is imported may have changed its own path
    for entry in _entries(directory):
        if _has(entry, first):
            package = Path(entry, first, *rest, "__init__.py")
            path = package if package.exists() else Path(entry, first, *rest[:-1], f"{(first, *rest)[-1]}.py")
            return path if rest or package.exists() else Path(entry, f"{first}.py")
    return None


def _entries(directory: str) -> Iterator[str]:
    here = os.getcwd()  # noqa: PTH109 - compared with texts
    for entry in handler_loader.search_path():
        yield directory if entry in ("", here) else entry


def _has(entry: str, name: str) -> bool:
    return Path(entry, name).exists() or any(Path(entry).glob(f"{name}.*"))


def _defines(body: Sequence[ast.stmt], names: Sequence[str]) -> bool:
    """Whether these statements bind the first name once, by a definition, and its body the next one, and so on."""
    name, *rest = names
    found = [one for one in body if isinstance(one, _DEFINITIONS) and one.name == name]
    if len(found) != 1 or sum(_binds(node, name) for one in body for node in ast.walk(one)) != 1:
        return False
    definition = found[0]
    if any(_may_be_a_task(one) for one in definition.decorator_list):
        return False
    return _defines(definition.body, rest) if rest and isinstance(definition, ast.ClassDef) else not rest


def _origin(body: Sequence[ast.stmt], name: str) -> Optional[Tuple[str, str]]:
    """The module and the name that `from MODULE import NAME` takes a name from, if nothing else binds it."""
    found = [
        (one.module, alias.name)
        for one in body
        if isinstance(one, ast.ImportFrom) and one.module and not one.level
        for alias in one.names
        if (alias.asname or alias.name) == name
    ]
    if len(found) != 1 or sum(_binds(node, name) for one in body for node in ast.walk(one)) != 1:
        return None
    return found[0]


def _may_be_a_task(decorator: ast.expr) -> bool:
    """Whether a decorator looks like `app.task` or `app.task(...)`."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr == "task"


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node binds the name, in any scope, or may do so."""
    if isinstance(node, _DEFINITIONS):
        return node.name == name
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, ast.alias):
        return (node.asname or node.name.partition(".")[0]) in (name, "*")
    return isinstance(node, ast.ExceptHandler) and node.name == name
