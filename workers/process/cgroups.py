"""The control group (cgroup) of this process: its CPU quota, and the kills of the kernel's OOM killer."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_processors() -> int:
    """The number of processors, at least 1. A quota of 1.5 counts as 2, since with 1 a half would be idle."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota(CGROUP, control_groups())
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def control_groups() -> dict[str, str]:
    """The control groups of this process, by controller; "" stands for the unified hierarchy (cgroup v2)."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return {}
    groups: dict[str, str] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path
    return groups


def _quota(root: Path, groups: dict[str, str]) -> float | None:
    """The lowest quota from this process's group up to the root, in processors; None without a quota."""
    found: list[float] = []
    for folder in upwards(root, groups.get("")):
        text = _read(folder / "cpu.max").split()  # "200000 100000" or "max 100000"
        if len(text) == 2 and text[0] != "max":
            found.append(int(text[0]) / int(text[1]))
    for folder in upwards(root / "cpu", groups.get("cpu")):
        quota_us, period_us = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
        if quota_us and period_us and int(quota_us) > 0:
            found.append(int(quota_us) / int(period_us))
    return min(found) if found else None


def upwards(root: Path, path: str | None) -> list[Path]:
    """The folder of a group and its parents up to the root. In a container the folder may not exist."""
    if path is None:
        return []
    folder = root / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent == root or root in parent.parents)]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


class OomWatch:
    """Watches for kills of the OOM killer in this process's control group."""

    def __init__(self) -> None:
        self._kills = oom_kills()

    def has_struck(self) -> bool | None:
        """Whether it has killed a process since the last check; None where the system does not show it."""
        before, self._kills = self._kills, oom_kills()
        if before is None or self._kills is None:
            return None
        return self._kills > before


def oom_kills() -> int | None:
    """The number of processes of this control group that the OOM killer has killed; None if unknown."""
    groups = control_groups()
    candidates = []
    if "" in groups:
        candidates.append(CGROUP / groups[""].lstrip("/") / "memory.events")
        candidates.append(CGROUP / "memory.events")  # inside a container, the group is the root
    if "memory" in groups:
        candidates.append(CGROUP / "memory" / groups["memory"].lstrip("/") / "memory.oom_control")
        candidates.append(CGROUP / "memory" / "memory.oom_control")
    for file in candidates:
        for line in _read(file).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    return None
