"""Processes that handlers start do not inherit passwords, keys or tokens of the pool."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Callable

import pytest

from bizzmq import BizzMQ
from bizzmq.testing.pool import Pool
from bizzmq.testing.wait import eventually
from bizzmq.utils.secret_settings import SECRETS

HANDLER = "tests.security.environment_handler:handler"
KEY = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U="
TOKEN = "canary-token"


def shown(url: str, to: Path) -> list[str]:
    with BizzMQ(url, signing_keys=[KEY]) as mq:
        mq.create_queue("q")
        mq.publish_message_to_queue("q", {"to": str(to)})
    eventually(to.exists, 30.0, "the handler's word")
    return to.read_text().splitlines()


@pytest.mark.parametrize("preload", ["on", "off"])
def test_processes_of_handlers_inherit_no_secret_also_after_a_reload(
    start_pool: Callable[..., Pool], url: str, tmp_path: Path, preload: str
) -> None:
    settings = {
        "BIZZMQ_WORKER_REDIS_URL": url, "BIZZMQ_SIGNING_KEYS": KEY, "BIZZMQ_WORKER_HEALTH_TOKEN": TOKEN,
        "REDIS_URL": "redis://the-platforms",
    }  # fmt: skip
    pool = start_pool(url, url_in_env=True, concurrency=1, handler=HANDLER, env=settings, args=[f"--preload={preload}"])
    first = shown(url, tmp_path / "first")
    pool.signal(signal.SIGHUP)
    eventually(lambda: len(pool.started_worker_pids()) >= 2, 30.0, "the reload")
    second = shown(url, tmp_path / "second")

    for lines in (first, second):
        assert not [line for line in lines if line.startswith(tuple(f"{name}=" for name in SECRETS))]
        assert not [line for line in lines if TOKEN in line and not line.startswith("kept ")]
        assert "REDIS_URL=redis://the-platforms" in lines
        assert f"kept BIZZMQ_REDIS_URL={url}" in lines
        assert f"kept BIZZMQ_SIGNING_KEYS={KEY}" in lines


def test_an_option_keeps_them(start_pool: Callable[..., Pool], url: str, tmp_path: Path) -> None:
    start_pool(
        url, url_in_env=True, concurrency=1, handler=HANDLER, env={"BIZZMQ_SIGNING_KEYS": KEY},
        args=["--keep-environment"],
    )  # fmt: skip

    lines = shown(url, tmp_path / "first")

    assert f"BIZZMQ_REDIS_URL={url}" in lines
    assert f"BIZZMQ_SIGNING_KEYS={KEY}" in lines
