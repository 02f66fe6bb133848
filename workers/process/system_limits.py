"""Checks that the system allows a pool as many processes and open files as it needs."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

from bizzmq.errors import ConfigurationError
from bizzmq.workers.process.cgroups import CGROUP, control_groups, upwards
from bizzmq.workers.process.usage import memory_reader

_HELPERS = 4
"""Processes besides the workers: supervisor, janitor, template, and the one between template and new worker."""
_OTHER_FILES = 32
"""Open files of the supervisor that do not depend on the number of workers, with a reserve."""


def check(workers: int, slots: int, memory_metric: str) -> None:
    """Check that a pool can start all its workers. Files and processes of the handlers are not counted.

    Args:
        workers: the number of workers.
        slots: the number of slots, including those for replacements.
        memory_metric: how the workers' memory is measured; "" without a limit.

    Raises:
        ConfigurationError: a limit of the system is too low; the text names it.
    """
    _check_files(workers, files_needed(workers, slots))
    _check_processes(workers, workers + _HELPERS)
    if memory_metric:
        _check_memory(memory_metric)


def files_needed(workers: int, slots: int) -> int:
    """The number of open files of a supervisor: a stack file for each slot and a channel for each worker."""
    return 2 * slots + workers + _OTHER_FILES


def _check_files(workers: int, needed: int) -> None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise ConfigurationError(
            f"{workers} workers need {needed} open files, but RLIMIT_NOFILE is {limit}: "
            "raise it (ulimit -n, LimitNOFILE=) or lower the concurrency"
        )


def _check_processes(workers: int, needed: int) -> None:
    limits = {
        "RLIMIT_NPROC": (_user_limit(), "raise it (ulimit -u, LimitNPROC=)"),
        "the control group's pids.max": (_group_limit(), "raise it (TasksMax=, --pids-limit)"),
        "kernel.pid_max": (_number(Path("/proc/sys/kernel/pid_max")), "raise it (sysctl)"),
    }
    for name, (limit, remedy) in limits.items():
        if limit is not None and needed > limit:
            raise ConfigurationError(
                f"{workers} workers need {needed} processes, but {name} is {limit}: {remedy} or lower the concurrency"
            )


def _check_memory(metric: str) -> None:
    try:
        memory_reader(metric)(psutil.Process())
    except (psutil.Error, OSError):
        raise ConfigurationError(
            "a memory limit cannot be enforced: the system does not show the memory of a process (is /proc mounted?)"
        ) from None


def _user_limit() -> int | None:
    """The most processes that this user may have; None without a limit, as for root on Linux."""
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0] if hasattr(resource, "RLIMIT_NPROC") else -1
    return None if limit == resource.RLIM_INFINITY or os.getuid() == 0 else limit


def _group_limit() -> int | None:
    """The lowest `pids.max` from this process's control group to the root; None without one."""
    groups = control_groups()
    folders = [*upwards(CGROUP, groups.get("")), *upwards(CGROUP / "pids", groups.get("pids"))]
    found = [number for number in (_number(folder / "pids.max") for folder in folders) if number is not None]
    return min(found, default=None)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):  # the file does not exist, or contains "max"
        return None
