"""Ctrl+C while one of our commands is still being imported: one line instead of a traceback through half a library."""

from __future__ import annotations

import os
import sys

_COMMANDS = {"bizzmq": "bizzmq", "bizzmq.workers": "bizzmq-worker", "bizzmq-worker": "bizzmq-worker"}
_INTERRUPTED = 130


class QuietImports:
    """Around imports. In any other program an interrupt stays what it is."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        name = _command()
        if kind is not None and issubclass(kind, KeyboardInterrupt) and name:
            if sys.stderr is not None:
                sys.stderr.write(f"{name}: interrupted\n")
            raise SystemExit(_INTERRUPTED) from None


def _command() -> str:
    """Which of our commands this process is; "" for another program. While `-m` looks for its module it is argv[0]."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m":
        words = getattr(sys, "orig_argv", [])  # from Python 3.10 on
        return next((_COMMANDS[word] for word in words[1:] if word in _COMMANDS), "")
    directory, name = os.path.split(program)
    if name == "__main__.py":
        name = {"bizzmq": "bizzmq", "workers": "bizzmq.workers"}.get(os.path.basename(directory), "")  # noqa: PTH119
    return _COMMANDS.get(name, "")
