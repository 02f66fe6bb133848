"""Queries a pool from outside, as an operator does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

from bizzmq import BizzMQ, QueueOptions
from bizzmq.errors import BizzMQError
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.workers.control.client import ask
from bizzmq.workers.control.control_socket import STATUS
from tests.support.paths import ROOT


def run(
    module: str, *arguments: str, env: Mapping[str, str], timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE ARGUMENTS` with only the settings in `env`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BIZZMQ_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=str(ROOT), env={**inherited, **env}, timeout=timeout_s, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip


def socket_of(pool: Pool, runtime: Path) -> Path:
    return runtime / "bizzmq" / f"pool-{pool.supervisor_pid}.sock"


def status_of(path: Path) -> Any:
    return json.loads(ask(path, STATUS))


def wait_for_status(path: Path, condition: Any, what: str = "the pool's status") -> Any:
    """Wait for a status for which the condition holds, and return it."""

    def holds() -> Any:
        status = status_of(path)
        return status if condition(status) else None

    return eventually(holds, 20.0, what, ignoring=(BizzMQError,))


def is_working(status: Any) -> bool:
    """Whether all workers of the pool are at work, and its janitor has reached Redis: until then it counts as away."""
    return bool(status["working"] == status["target_workers"] and not status["redis_away"])


def publish(url: str, *bodies: Any) -> list[str]:
    """Publish to the queue `q`, which is created; returns the ids."""
    with BizzMQ(url) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        return mq.publish_messages_to_queue("q", list(bodies))
