"""How many processors this process may really use: affinity and the cgroup's CPU quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available() -> int:
    """At least 1. A quota of 1.5 processors counts as 2: a half would be left idle otherwise."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = _quota(CGROUP, control_groups())
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def control_groups() -> dict[str, str]:
    """Controller -> path of this process's control group; "" is the unified hierarchy (cgroup v2)."""
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
    """The tightest quota on the way from this process's group to the root, in processors."""
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
    """The folder of a group and all above it. In a container the path may not exist below the root."""
    if path is None:
        return []
    folder = root / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent == root or root in parent.parents)]


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
