"""Starts processes that do not outlive the test process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Mapping, Sequence

# Runs in the child and then executes the command, with the same pid. A preexec_fn would save the extra
# interpreter (15 ms), but it is unsafe in a process with threads. Python ignores these two signals; the command must
# not inherit that.
_SHIM = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the test process has gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execvp(sys.argv[2], sys.argv[2:])
"""

# The parent-death signal comes when the *thread* that forked ends. This one lives as long as the process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


def spawn(
    command: Sequence[str],
    output: IO[bytes],
    cwd: Path,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a command with stdout and stderr in `output` and an empty stdin.

    On Linux it gets SIGKILL when the test process dies for any reason; elsewhere only `close()` of its
    owner ends it.
    """
    shimmed = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            shimmed,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=str(cwd),
            env=None if env is None else dict(env),
            start_new_session=new_session,
        )

    return _spawner.submit(start).result()
