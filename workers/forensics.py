"""What can be learnt from a worker's death: its stack, its memory, and whether the kernel ran out of it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bizzmq import clock, handler, handler_result
from bizzmq.retry import shorten
from bizzmq.workers.death import Exit
from bizzmq.workers.processors import control_groups
from bizzmq.workers.scoreboard import Activity, Snapshot

_CGROUP = Path("/sys/fs/cgroup")
_OURS = (handler.__file__, handler_result.__file__, str(Path(__file__).parent / "worker.py"))


class StackFile:
    """A nameless file per slot into which faulthandler writes the worker's stacks, as the last thing that it does."""

    def __init__(self, name: str) -> None:
        if sys.platform.startswith("linux") and hasattr(os, "memfd_create"):
            self.descriptor = os.memfd_create(name, 0)
        else:
            self.descriptor, path = tempfile.mkstemp(prefix="bizzmq-stack-")
            Path(path).unlink()
        os.set_inheritable(self.descriptor, False)

    def clear(self) -> None:
        """Forget what was written."""
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)

    def read(self) -> str:
        """What was written, without the frames that led from the pool's start to the user's handler."""
        size = os.fstat(self.descriptor).st_size
        return shorten(_without_our_frames(os.pread(self.descriptor, min(size, 200_000), 0).decode("utf-8", "replace")))

    def close(self) -> None:
        os.close(self.descriptor)


def _without_our_frames(text: str) -> str:
    """Stacks stand most recent call first: from the frame that called the handler on, all is ours."""
    kept, ours = [], False
    for line in text.splitlines():
        if not line.startswith("  File "):
            ours = False
        ours = ours or any(f'"{file}"' in line for file in _OURS)
        if not ours:
            kept.append(line)
    return "\n".join(kept)


class OomWatch:
    """Whether the kernel's OOM killer has struck in this process's control group since the last look."""

    def __init__(self) -> None:
        self._kills = oom_kills()

    def struck(self) -> bool | None:
        """True or False; None where the system does not tell."""
        before, self._kills = self._kills, oom_kills()
        if before is None or self._kills is None:
            return None
        return self._kills > before


def oom_kills() -> int | None:
    """How many processes of this control group the OOM killer has ended so far; None if that cannot be read."""
    groups = control_groups()
    candidates = []
    if "" in groups:
        candidates.append(_CGROUP / groups[""].lstrip("/") / "memory.events")
        candidates.append(_CGROUP / "memory.events")  # inside a container, the group is the root
    if "memory" in groups:
        candidates.append(_CGROUP / "memory" / groups["memory"].lstrip("/") / "memory.oom_control")
        candidates.append(_CGROUP / "memory" / "memory.oom_control")
    for file in candidates:
        try:
            lines = file.read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None


def facts_of(ended: Exit, record: Snapshot, stack: str, oom: bool | None) -> dict[str, Any]:
    """What the log and the message are told of a death."""
    facts: dict[str, Any] = {
        "signal": ended.signal_name,
        "exit_code": ended.code,
        "oom_killed": oom,
        "peak_memory_bytes": ended.peak_memory_bytes,
        "cpu_s": ended.cpu_s,
    }
    if record.activity is Activity.RUNNING:
        facts["ran_s"] = round(clock.monotonic() - record.started_s, 3)
    if stack:
        facts["stack"] = stack
    return {name: value for name, value in facts.items() if value not in (None, "")}
