"""Modules that replace Python's blocking functions, as gevent and eventlet do."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.conftest import check
from tests.preload.test_after_limit import error_of
from tests.preload.test_pools import EACH, Home, home
from tests.support.paths import ROOT

__all__ = ["home"]

GREEN = """
'''As eventlet: no select.poll, and reads and writes that wait for any descriptor, but not in a signal's handler.'''
import _thread, os, select, threading, time

def _ours(function):
    def waiting(*args):
        return function(*args)
    return waiting

def _unless_nested(function, find):
    busy = threading.local()
    def waiting(*args):
        if getattr(busy, "now", False):
            raise RuntimeError("do not call blocking functions from the mainloop")
        busy.now = True
        try:
            find(args[0])
        finally:
            busy.now = False
        return function(*args)
    return waiting

def patch():
    wait = select.select
    time.sleep = _unless_nested(time.sleep, lambda _: None)
    os.read = _unless_nested(os.read, lambda number: os.stat(number) and wait([number], [], []))
    os.write = _unless_nested(os.write, lambda number: os.stat(number) and wait([], [number], []))
    select.select = _ours(select.select)
    _thread.start_new_thread = _ours(_thread.start_new_thread)
    for name in ("poll", "epoll"):
        if hasattr(select, name):
            delattr(select, name)
"""
APP = "import green, time\ngreen.patch()\ndef handler(body):\n    time.sleep(body)\n    say('ok')\n"
PROGRAM = """
import sys, time, green
if sys.argv[2] == "before":
    green.patch()
from bizzmq import BizzMQ
if sys.argv[2] == "after":
    green.patch()
got = []
with BizzMQ(sys.argv[1]) as mq:
    mq.publish_messages_to_queue("q", range(20))
    print(mq.consume_until_empty("q", got.append, timeout_s=20))
    stop = mq.consume_message_from_queue("q", got.append)
    mq.publish_messages_to_queue("q", range(20))
    while len(got) < 40:
        time.sleep(0.001)
    stop()
    print(len(got))
"""


def test_a_pool_works_with_patched_blocking_functions(home: Home) -> None:
    home.write(GREEN, name="green")
    home.write(APP)
    pool = home.pool("--timeout=0.3")
    slow, *_ = home.mq.publish_messages_to_queue("q", [600, *[0] * 20])

    home.handled(20)

    assert error_of(home, slow)["error_type"] == "MessageTimeout"
    assert f'{EACH} why="monkey patch: time.sleep, select.select, threads of green"' in pool.log()
    pool.signal(signal.SIGHUP)
    eventually(lambda: "reloaded generation=1" in pool.log(), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    assert "worker died" not in pool.log()


@pytest.mark.parametrize("when", ["before", "after"])
def test_in_process_consumers_work_with_patched_blocking_functions(home: Home, when: str) -> None:
    """Before or after the import of BizzMQ."""
    home.write(GREEN, name="green")

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, home.url, when], cwd=home.folder, timeout=PATIENCE_S, check=False,
        env={"PYTHONPATH": f"{home.folder}:{ROOT}"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    assert done.stdout.split() == ["20", "40"], done.stdout


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_the_libraries_patches_are_found(tmp_path: Path, library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed and not a dependency of the tests")
    patch = {"gevent": "from gevent import monkey\nmonkey.patch_all()\n",
             "eventlet": "import eventlet\neventlet.monkey_patch()\n"}[library]  # fmt: skip
    (tmp_path / "users_module.py").write_text(f"{patch}def handler(body):\n    pass\n")

    found = check(tmp_path, PYTHONWARNINGS="ignore")

    assert found.code == 1
    assert f"time.sleep, select.select, threads of {library}" in found.out
