"""Handlers that use alarms, timers and signals: the limits still work, and no other message is affected."""

from __future__ import annotations

from typing import Any

from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.preload.test_after_limit import error_of
from tests.preload.test_pools import Home, home

__all__ = ["home"]

APP = """
import signal, time
REAL, PROF, ALRM = signal.ITIMER_REAL, signal.ITIMER_PROF, signal.SIGALRM

def own(number, frame):
    raise TimeoutError("of the handler's own")

def as_a_decorator():
    before = signal.signal(ALRM, own)
    signal.alarm(600)
    signal.alarm(0)
    signal.signal(ALRM, before)

ACTIONS = {
    "nothing": lambda: None,
    "alarm left on": lambda: signal.alarm(600),
    "alarm put back without its time": as_a_decorator,
    "timer stopped": lambda: signal.setitimer(REAL, 0),
    "handler of its own": lambda: (signal.signal(ALRM, own), signal.alarm(600)),
    "ignored": lambda: signal.signal(ALRM, signal.SIG_IGN),
    "default": lambda: signal.signal(ALRM, signal.SIG_DFL),
    "blocked": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {ALRM}),
    "all blocked": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()),
    "own alarm soon": lambda: (signal.signal(ALRM, own), signal.setitimer(REAL, 0.1)),
    "own alarm again and again": lambda: (signal.signal(ALRM, own), signal.setitimer(REAL, 0.1, 0.1)),
    "deadly alarm soon": lambda: (signal.signal(ALRM, signal.SIG_DFL), signal.setitimer(REAL, 0.1)),
    "CPU timer stopped": lambda: signal.setitimer(PROF, 0),
    "CPU signal ignored": lambda: signal.signal(signal.SIGPROF, signal.SIG_IGN),
    "CPU signal blocked": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPROF}),
}

def handler(body):
    action, then = body
    ACTIONS[action]()
    while then == "compute":
        pass
    time.sleep(then)
"""
STRUCK = "the message has reached its time limit"
QUICK: list[list[Any]] = [["nothing", 0]] * 50


def run(home: Home, *args: str, bodies: list[list[Any]], **options: Any) -> tuple[list[str], str]:
    """Handle messages in a pool, in this order; returns their ids and the pool's log."""
    home.write(APP)
    pool = home.pool(*args, concurrency=1, **options)
    ids = home.mq.publish_messages_to_queue("q", bodies)

    def are_all_done() -> bool:
        stats = home.mq.stats("q")
        return stats.acked + stats.dead_lettered == len(bodies)

    eventually(are_all_done, PATIENCE_S, pool.log)
    return list(ids), pool.log()


def test_a_time_limit_is_raised_after_any_change_to_alarms(home: Home) -> None:
    actions = [
        "alarm left on",
        "alarm put back without its time",
        "timer stopped",
        "handler of its own",
        "ignored",
        "blocked",
    ]
    after = [["all blocked", 0], ["nothing", 600]]  # left by the message before it
    bodies = [*([action, 600] for action in actions), *QUICK, *after]

    ids, log = run(home, "--timeout=0.3", "--timeout-grace=20", bodies=bodies)

    for message in (*ids[: len(actions)], ids[-1]):
        assert error_of(home, message)["error"].startswith(STRUCK)
    assert "worker died" not in log
    assert home.mq.stats("q").acked == len(QUICK) + 1


def test_a_cpu_limit_is_raised_after_any_change_to_its_timer(home: Home) -> None:
    actions = ["CPU timer stopped", "CPU signal ignored", "CPU signal blocked"]

    ids, log = run(home, "--cpu-limit=0.2", "--timeout-grace=20", bodies=[[action, "compute"] for action in actions])

    assert [error_of(home, message)["error_type"] for message in ids] == ["CpuTimeExceeded"] * 3
    assert "worker died" not in log


def test_a_message_that_blocks_signals_is_ended_at_the_hard_limit(home: Home) -> None:
    """Like one for which the limit's signal is deadly; neither is a crash."""
    bodies: list[list[Any]] = [["all blocked", 600], ["default", 600]]

    ids, log = run(home, "--timeout=0.3", "--timeout-grace=0.3", bodies=bodies)

    assert [error_of(home, message)["error_type"] for message in ids] == ["MessageTimeout"] * 2
    assert log.count("worker died") == 2


def test_an_alarm_left_by_a_message_affects_no_other_message(home: Home) -> None:
    left = ["own alarm soon", "own alarm again and again", "deadly alarm soon"]
    bodies = [*QUICK, *(body for action in left for body in ([action, 0], ["nothing", 0.15], *QUICK))]

    _, log = run(home, bodies=bodies)

    assert home.mq.stats("q").acked == len(bodies)
    assert "worker died" not in log
