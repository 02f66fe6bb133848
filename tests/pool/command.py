"""Runs one of the two commands to its end, as a shell or a script does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Sequence

from bizzmq.testing.family import Family
from tests.support.paths import ROOT

WORKER, OPERATOR = "bizzmq.workers", "bizzmq"
NAMES = {WORKER: "bizzmq-worker", OPERATOR: "bizzmq"}
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Finished:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Check that it succeeded; return its output, one JSON document."""
        assert (self.code, self.err) == (0, ""), self
        return json.loads(self.out)

    def lines(self) -> list[str]:
        """Check that it succeeded; return the lines of its output."""
        assert self.code == 0, self
        return self.out.splitlines()


def run(module: str, *arguments: str, stdin: bytes = b"", via: Sequence[str] = (), **env: str) -> Finished:
    """Run `python -m MODULE ARGUMENTS` with only the settings in `env`; `via` is the prefix of the command.

    Raises AssertionError if it leaves a process behind.
    """
    family = Family()
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("BIZZMQ_")}
    inherited.pop("REDIS_URL", None)
    command = [*via, sys.executable, "-m", module, *arguments]
    environment = {**inherited, **family.mark(), **env}
    try:
        ended = subprocess.run(
            command, input=stdin, capture_output=True, cwd=str(ROOT), env=environment, timeout=_TIMEOUT_S, check=False
        )
        assert not family.living(), family.describe()
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{command} still runs after {_TIMEOUT_S:g} s:\n{(late.stderr or b'').decode()}") from None
    finally:
        family.kill()
    return Finished(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def refused(module: str, *arguments: str, code: int = 2, **how: Any) -> str:
    """The one line on stderr that refuses bad input; checks that stdout is empty."""
    ended = run(module, *arguments, **how)
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith(f"{NAMES[module]}: "), ended
    assert len(ended.err.splitlines()) == 1, ended
    return ended.err
