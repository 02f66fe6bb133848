import eventlet

eventlet.monkey_patch()

import time


def square(number):
    time.sleep(0.01)
    return number * number


def handler(body):
    pool = eventlet.GreenPool()
    assert list(pool.imap(square, range(20))) == [number * number for number in range(20)]
