"""Imports of the commands: quick, and after Ctrl+C one line instead of a long traceback."""

from __future__ import annotations

import gc
import os
import sys

_COMMANDS = {"bizzmq": "bizzmq", "bizzmq.workers": "bizzmq-worker", "bizzmq-worker": "bizzmq-worker"}
_INTERRUPTED = 130


class QuietImports:
    """A context manager for imports. It changes nothing in programs other than the commands.

    Meanwhile no garbage is collected: imports leave nearly none, and the search for it takes an eighth of their time.
    """

    def __enter__(self) -> None:
        self._is_collecting = gc.isenabled() and bool(_command())
        if self._is_collecting:
            gc.disable()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._is_collecting:
            gc.enable()
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
