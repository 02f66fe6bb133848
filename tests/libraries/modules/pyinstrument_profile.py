"""A profile of each message."""

from pyinstrument import Profiler


def handler(body):
    with Profiler() as profiler:
        assert sum(range(300_000)) == 44999850000
    assert profiler.last_session.duration > 0
