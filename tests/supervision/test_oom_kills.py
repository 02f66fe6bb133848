"""Kills by the kernel's OOM killer are read from the control group, in both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from bizzmq.workers.process import cgroups


@pytest.mark.parametrize(
    ("file", "text", "group", "kills"),
    [
        ("a/b/memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\n", {"": "/a/b"}, 2),
        ("memory.events", "oom 1\noom_kill 1\noom_group_kill 0\n", {"": "/elsewhere"}, 1),
        ("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", {"memory": "/a"}, 5),
        ("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", {"memory": "/a"}, None),
        ("unrelated", "", {}, None),
    ],
)
def test_a_kill_is_detected_by_the_count_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, group: dict[str, str], kills: int | None
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    monkeypatch.setattr(cgroups, "CGROUP", tmp_path)
    monkeypatch.setattr(cgroups, "control_groups", lambda: group)
    watch = cgroups.OomWatch()

    assert cgroups.oom_kills() == kills
    assert watch.has_struck() is (None if kills is None else False)
    if kills is not None:
        (tmp_path / file).write_text(text.replace(f"oom_kill {kills}", f"oom_kill {kills + 1}"))
        assert watch.has_struck() is True
        assert watch.has_struck() is False
