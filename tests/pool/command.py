"""Runs one of the two commands to its end, as a shell or a script does, and soon."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Mapping, Sequence

from bizzmq.testing.family import Family
from tests.support import forked_command
from tests.support.forked_command import Finished
from tests.support.paths import ROOT

WORKER, OPERATOR = "bizzmq.workers", "bizzmq"
NAMES = {WORKER: "bizzmq-worker", OPERATOR: "bizzmq"}
_TIMEOUT_S = 60.0


def run(module: str, *arguments: str, stdin: bytes = b"", via: Sequence[str] = (), **env: str) -> Finished:
    """Run a command with only the settings in `env`; `via` is the prefix of the command.

    The operator's command runs in a fork of this process, which has imported it already, unless `via` or a variable of
    Python's own asks for a new interpreter.

    Raises AssertionError if it leaves a process behind.
    """
    if module == OPERATOR and _may_fork(via, env):
        return forked_command.bizzmq(*arguments, stdin=stdin, cwd=ROOT, **env)
    return in_new_interpreter(module, *arguments, stdin=stdin, via=via, **env)


def in_new_interpreter(
    module: str, *arguments: str, stdin: bytes = b"", via: Sequence[str] = (), **env: str
) -> Finished:
    """Run `python -m MODULE ARGUMENTS`, as `run` does."""
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
    ended = run(module, *arguments, **how) if code != 2 else _soon_ended(module, *arguments, **how)
    assert (ended.code, ended.out) == (code, ""), ended
    assert ended.err.startswith(f"{NAMES[module]}: "), ended
    assert len(ended.err.splitlines()) == 1, ended
    return ended.err


def _soon_ended(module: str, *arguments: str, stdin: bytes = b"", via: Sequence[str] = (), **env: str) -> Finished:
    """Run a command that starts nothing, so that it can be a fork of this process."""
    if not _may_fork(via, env):
        return in_new_interpreter(module, *arguments, stdin=stdin, via=via, **env)
    return forked_command.bizzmq(*arguments, stdin=stdin, command=NAMES[module], cwd=ROOT, **env)


def _may_fork(via: Sequence[str], env: Mapping[str, str]) -> bool:
    return not via and not any(name.startswith(("PYTHON", "LANG", "LC_")) for name in env)
