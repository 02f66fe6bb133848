"""A process pool started by the first message; its own time limit sometimes kills one of its workers."""

import time
from concurrent.futures import TimeoutError

from pebble import ProcessPool

pool = ProcessPool(max_workers=1)


def work(number, pause_s):
    time.sleep(pause_s)
    return number * number


def handler(body):
    if body % 10 == 0:
        try:
            pool.schedule(work, args=(body, 30), timeout=0.2).result()
        except TimeoutError:
            pass
    assert pool.schedule(work, args=(body, 0)).result(timeout=20) == body * body
