from gevent import monkey

monkey.patch_all()

import time

import gevent


def square(number):
    time.sleep(0.01)
    return number * number


def handler(body):
    jobs = [gevent.spawn(square, number) for number in range(20)]
    gevent.joinall(jobs)
    assert [job.value for job in jobs] == [number * number for number in range(20)]
