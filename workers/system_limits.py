"""Whether the system lets a pool have as many processes and open files as it needs."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from bizzmq.errors import ConfigurationError
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.processors import CGROUP, control_groups, upwards

_HELPERS = 4
"""Processes besides the workers: supervisor, janitor, template, and the one between it and a new worker."""
_OTHER_FILES = 32
"""Open files of the supervisor that do not depend on how many workers it has, with some to spare."""


def check(config: WorkerConfig) -> None:
    """See that the pool can be started as a whole. What its handlers open and start comes on top.

    Raises:
        ConfigurationError: a limit of the system is too low; the text names it.
    """
    workers = config.worker_count
    _check_files(workers, files_of(config))
    _check_processes(workers, workers + _HELPERS)


def files_of(config: WorkerConfig) -> int:
    """How many files the supervisor of a whole pool has open: a stack file for each slot, a channel for each worker."""
    return 2 * config.capacity + config.worker_count + _OTHER_FILES


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


def _user_limit() -> int | None:
    """How many processes this user may have; None if that is not limited, as for root on Linux."""
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
    except (OSError, ValueError):  # it is not there, or says "max"
        return None
