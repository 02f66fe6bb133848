"""An interrupted `bizzmq publish` of many lines: it reports exactly what is stored, and how to continue."""

from __future__ import annotations

import os
import re
import signal
import tempfile
from typing import Callable, Dict

import pytest
from redis import Redis

from bizzmq import BizzMQ
from bizzmq.testing.layout import snapshot
from bizzmq.testing.proxy import Proxy
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.support.forked_command import Forked, bizzmq

LINES = 60_000
QUEUE = "many"
SAID = re.compile(
    r"bizzmq: (?P<why>.*); (?P<stored>\d+) lines are stored(, up to line (?P<last>\d+))?"
    r"(, and at most (?P<more>\d+) more may be, up to line (?P<most>\d+))?"
    r"; to go on, publish the same input with --resume-from (?P<next>\d+)( \(.*\))?\n"
)


def _input() -> bytes:
    return b"".join(b"%d\n" % number if number % 10 else b"\n" for number in range(1, LINES + 1))


class Cut:
    """An interrupted publish of many lines, and its output."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.given, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - as long as itself
        self.given.write(_input())
        self.given.seek(0)
        null = os.open(os.devnull, os.O_WRONLY)
        streams = [self.given.fileno(), null, self.err.fileno()]
        self.process = Forked(["publish", QUEUE, *arguments], streams, {"REDIS_URL": url})
        os.close(null)

    def __enter__(self) -> Cut:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.__exit__()
        self.given.close()
        self.err.close()

    def reported(self, code: int) -> Dict[str, str]:
        assert self.process.code() == code
        self.err.seek(0)
        line = self.err.read().decode().splitlines(keepends=True)[-1]
        match = SAID.fullmatch(line)
        assert match, line
        return match.groupdict()


@pytest.mark.usually(1)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_reports_exactly_what_is_stored_and_publishing_can_continue_there(
    redis: Redis, url: str, number: signal.Signals
) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE)
    with Cut(url) as cut:
        eventually(lambda: bool(redis.llen(f"bizzmq:{{{QUEUE}}}:waiting")), 30.0)
        os.kill(cut.process.pid, number)

        reported = cut.reported(130 if number == signal.SIGINT else 128 + number)

    assert reported["more"] is None, "it could finish its current request"
    assert int(reported["stored"]) == len(snapshot(redis, QUEUE)[0].waiting)
    assert int(reported["next"]) == int(reported["last"]) + 1
    rest = bizzmq("publish", QUEUE, f"--resume-from={reported['next']}", stdin=_input(), REDIS_URL=url)
    assert rest.code == 0
    assert len(snapshot(redis, QUEUE)[0].waiting) == LINES - LINES // 10, "each once"


def test_the_count_is_correct_when_the_server_dies(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(persistence="aof")
    with BizzMQ(server.url) as mq:
        mq.create_queue(QUEUE)
    with Cut(server.url) as cut:
        with server.client() as client:
            eventually(lambda: bool(client.llen(f"bizzmq:{{{QUEUE}}}:waiting")), 30.0)
        server.kill()

        reported = cut.reported(1)

    server.start()
    with server.client() as client:
        stored = len(snapshot(client, QUEUE)[0].waiting)
    assert int(reported["stored"]) <= stored <= int(reported["stored"]) + int(reported["more"] or 0)
    assert reported["why"].startswith("Redis is unavailable: ")


def test_an_interrupt_while_redis_does_not_answer_reports_what_may_be_stored(redis: Redis, server: RedisServer) -> None:
    with BizzMQ(server.url) as mq:
        mq.create_queue(QUEUE)
    with Proxy(server.url) as proxy, Cut(proxy.url) as cut:
        eventually(lambda: bool(redis.llen(f"bizzmq:{{{QUEUE}}}:waiting")), 30.0)
        proxy.stall()
        os.kill(cut.process.pid, signal.SIGINT)

        reported = cut.reported(130)

    stored = len(snapshot(redis, QUEUE)[0].waiting)
    assert int(reported["stored"]) <= stored <= int(reported["stored"]) + int(reported["more"] or 0)


@pytest.mark.parametrize(
    ("arguments", "reported"),
    [
        (["--resume-from=0"], "--resume-from"),
        (["--resume-from=5"], "there are 2 lines"),
        (["--resume-from=2", "{}"], "lines of standard input"),
    ],
)
def test_an_invalid_starting_line_publishes_nothing(
    redis: Redis, url: str, arguments: list[str], reported: str
) -> None:
    with BizzMQ(url) as mq:
        mq.create_queue(QUEUE)
    ended = bizzmq("publish", QUEUE, *arguments[1:], arguments[0], stdin=b"1\n2\n", REDIS_URL=url)

    assert (ended.code, ended.out) == (2, "")
    assert reported in ended.err
    assert not snapshot(redis, QUEUE)[0].messages
