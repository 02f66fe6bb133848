"""Ctrl+C while a command is still being imported: one line instead of a long traceback."""

from __future__ import annotations

import os
import sys

_COMMANDS = {"bizzmq": "bizzmq", "bizzmq.workers": "bizzmq-worker", "bizzmq-worker": "bizzmq-worker"}
_INTERRUPTED = 130


class QuietImports:
    """A context manager for imports. It changes nothing in programs other than the commands."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        name = _command()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and name:
            if sys.stderr is not None:
                sys.stderr.write(f"{name}: interrupted\n")
            raise SystemExit(_INTERRUPTED) from None


def _command() -> str:
    """The name of the command that this process runs; "" for another program.

    While Python still looks for the module of `-m`, argv[0] is "-m".
    """
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        words = getattr(sys, "orig_argv", [])  # from Python 3.10 on
        return next((_COMMANDS[word] for word in words[1:] if word in _COMMANDS), "")
    directory, name = os.path.split(program)
    if name == "__main__.py":
        name = {"bizzmq": "bizzmq", "workers": "bizzmq.workers"}.get(os.path.basename(directory), "")  # noqa: PTH119
    return _COMMANDS.get(name, "")
