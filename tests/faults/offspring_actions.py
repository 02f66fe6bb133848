"""Actions that leave offspring: forked copies of the worker, daemons, zombies. Used through limit_actions.py."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable

from bizzmq import BizzMQ, MessageOptions, detached
from bizzmq.testing.ledger import PUBLISHED, record
from tests.handlers import HandlerContext
from tests.support import actions

ESCAPED, BEAT = "escaped", "beat"
_BEAT_S = 0.01
_LIFE_S = 60.0


def _fork_and_return(body: Any, context: HandlerContext) -> None:
    """{"path": file}: a forked copy returns from the handler; the worker waits for the file."""
    if os.fork():
        actions.wait_for_file(body)


def _fork_and_raise(body: Any, context: HandlerContext) -> None:
    """Like fork_and_return, but the copy raises."""
    if os.fork() == 0:
        raise actions.ActionError("raised in a forked copy")
    actions.wait_for_file(body)


def _fork_and_exit(body: Any, context: HandlerContext) -> None:
    """Like fork_and_return, but the copy calls sys.exit, as many examples of fork do."""
    if os.fork() == 0:
        sys.exit(0)
    actions.wait_for_file(body)


def _fork_and_beat(body: Any, context: HandlerContext) -> None:
    """{"path": file, "then": action}: a forked copy records a beat for a minute; the worker does `then`."""
    if os.fork() == 0:
        _beat(context.id)
    actions.ACTIONS[body["then"]](body)


def _start_all_kinds(body: Any, context: HandlerContext) -> None:
    """{"pids": file, "path": file, "then": action}: start processes that detach from the worker in every way; then act.

    Each writes its pid to a line of the file and sleeps for five minutes.
    """
    say = f"echo $$ >> {body['pids']}; exec sleep 300"
    session = f"setsid sh -c '{say}'"
    subprocess.Popen(["sh", "-c", say])
    subprocess.Popen(["timeout", "300", "sh", "-c", say])
    subprocess.Popen(["sh", "-c", say], start_new_session=True)
    subprocess.Popen(["bash", "-c", f"set -m; sh -c '{say}' & wait"])
    subprocess.Popen(["sh", "-c", f"({session} &)"]).wait()
    subprocess.Popen(["sh", "-c", f"(env -i {session} &)"]).wait()
    thread = threading.Thread(target=subprocess.Popen, args=(["sh", "-c", session],))
    thread.start()
    thread.join()
    _forked_daemon(lambda: _say_pid_and_sleep(body["pids"]))
    actions.ACTIONS[body["then"]](body)


KINDS = 8


def _start_detached(body: Any, context: HandlerContext) -> None:
    """{"pids": file, "path": file, "then": action}: a process and a daemon, both detached; then `then`."""
    with detached():
        subprocess.Popen(["sh", "-c", f"echo $$ >> {body['pids']}; exec sleep 300"], start_new_session=True)
        _forked_daemon(lambda: _say_pid_and_sleep(body["pids"]))
    actions.ACTIONS[body["then"]](body)


def _say_pid_and_sleep(path: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(300.0)


def _forked_daemon(life: Callable[[], None]) -> None:
    """Start a daemon that is a forked copy of the worker, in a session of its own and without a parent."""
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                life()
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _daemonise(body: Any, context: HandlerContext) -> None:
    """{"path": file}: a daemon with a session of its own and all inherited descriptors beats for a minute."""
    _forked_daemon(lambda: _beat(context.id))
    actions.wait_for_file(body)


def _beat(message: str) -> None:
    """Record a beat of this process for a minute; never returns."""
    try:
        until_s = time.monotonic() + _LIFE_S
        while time.monotonic() < until_s:
            record(BEAT, message)
            time.sleep(_BEAT_S)
    finally:
        os._exit(0)


def _leave_zombies(body: Any, context: HandlerContext) -> None:
    """Fork children that die at once, and reap none."""
    for _ in range(5):
        if os.fork() == 0:
            os._exit(0)


def _publish_from_copies(body: Any, context: HandlerContext) -> None:
    """{"url", "queue"}: the worker and two forked copies publish at the same time with one client of the worker."""
    with BizzMQ(body["url"]) as mq:

        def publish(count: int) -> None:
            for _ in range(count):
                record(PUBLISHED, mq.publish_message_to_queue(body["queue"], {"do": "ok"}, MessageOptions()))

        publish(1)  # so that there is a connection to inherit
        children = []
        for _ in range(2):
            child = os.fork()
            if child == 0:
                try:
                    publish(20)
                finally:
                    os._exit(0)
            children.append(child)
        publish(20)
        for child in children:
            os.waitpid(child, 0)


OFFSPRING: dict[str, Callable[[Any, HandlerContext], None]] = {
    "fork_and_return": _fork_and_return,
    "fork_and_raise": _fork_and_raise,
    "fork_and_exit": _fork_and_exit,
    "fork_and_beat": _fork_and_beat,
    "daemonise": _daemonise,
    "start_all_kinds": _start_all_kinds,
    "start_detached": _start_detached,
    "leave_zombies": _leave_zombies,
    "publish_from_copies": _publish_from_copies,
}
