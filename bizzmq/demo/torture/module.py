"""The handler's module of `bizzmq demo --torture`: a file that is generated for each reload, intact or broken."""

from __future__ import annotations

import os
from pathlib import Path

NAME = "tortured"
SPEC = f"{NAME}:handle"

_WHOLE = '''"""Generation {generation} of the handler."""

from bizzmq.demo.torture import handlers


def handle(body, context):
    handlers.handle(body, context, {generation})
'''
_FLAWS = {
    "raises": "raise RuntimeError('this generation is broken')",
    "has a syntax error": "def this is no Python",
    "imports what is not there": "import there_is_no_such_module",
    "exits": "import sys\n\nsys.exit(0)",
    "crashes": "import os, signal\n\nos.kill(os.getpid(), signal.SIGSEGV)",
    "hangs": "import time\n\ntime.sleep(3600)",
}


class GeneratedModule:
    """The generated file.

    Attributes:
        generation: the number of the last generation.
        broken: the generations that cannot be imported.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"{NAME}.py"
        self.generation = 0
        self.broken: set[int] = set()

    def write(self, flaw: str = "") -> None:
        """Write the next generation; with a flaw it cannot be imported."""
        self.generation += 1
        text = _WHOLE.format(generation=self.generation)
        if flaw:
            self.broken.add(self.generation)
            text += f"\n\n{_FLAWS[flaw]}\n"
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text, encoding="ascii")
        os.replace(str(fresh), str(self._path))  # noqa: PTH105 - an import sees either the old or the new file
