"""The pids and roles of a pool's processes, from its log. Only this file of the kit knows the pool's log lines."""

from __future__ import annotations

import re

WORKER, JANITOR, TEMPLATE = "worker", "janitor", "template"

# The pool writes one line for each process that has started, with the pid of that process in its fields.
_STARTED = re.compile(r"\b(worker|janitor|template) started\b")
_PID = re.compile(r"""\bpid["']?\s*[=:]\s*["']?(\d+)""")


_READY = re.compile(r"\bworker ready\b")


def ready_workers(log: str) -> set[int]:
    """The pids of the workers that have imported the handler and may claim."""
    found = (_PID.search(line) for line in log.splitlines() if _READY.search(line))
    return {int(pid[1]) for pid in found if pid}


def classify(log: str) -> dict[int, str]:
    """Pid -> role of each process that has started according to the log, the latest last."""
    roles: dict[int, str] = {}
    for line in log.splitlines():
        started, pid = _STARTED.search(line), _PID.search(line)
        if started and pid:
            roles.pop(int(pid[1]), None)
            roles[int(pid[1])] = started[1]
    return roles
