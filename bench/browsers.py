"""What open pages of the dashboard cost a drain: `python -m bench browsers`, or `python bench/browsers.py`.

Rounds without and with browsers take turns. A browser is one connection that follows the events of the overview or of
the queue's page; all of them are in the process of the measurement, whose processor time is part of the loss.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Iterator, List
from urllib.parse import urlencode

import click

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import report
from bench.drain import warm_up
from bench.pool import Pool, command, cpu_s, started, wait_until
from bench.server import QUEUE, Server, server

PASSWORD = "open sesame, please"
PAGES = ("/events/", f"/events/queues/{QUEUE}")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/")


@dataclass(frozen=True)
class Round:
    """One drain. CPU times are of the dashboard and of the browsers, in percent of one processor."""

    browsers: int
    messages_per_s: float
    dashboard_cpu_percent: float
    browsers_cpu_percent: float


@contextmanager
def dashboard(url: str) -> Iterator[subprocess.Popen[str]]:
    """A dashboard of this server, as a user starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bizzmq", "--redis-url", url, "dashboard", "--port", "0"],
        env={**os.environ, "BIZZMQ_DASHBOARD_PASSWORD": PASSWORD}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


class Browsers:
    """Connections that follow pages, in a thread of their own.

    Attributes:
        received: the bytes of each.
        cpu_s: processor time of the thread so far.
    """

    def __init__(self, port: int, count: int) -> None:
        self._port, self._cookie = port, signed_in(port)
        self.received = [0] * count
        self.cpu_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_until_complete(self._follow_all())
        self._loop.close()

    async def _follow_all(self) -> None:
        following = [asyncio.ensure_future(self._follow(index)) for index in range(len(self.received))]
        await self._stop.wait()
        for one in following:
            one.cancel()
        await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, index: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        path = PAGES[index % len(PAGES)]
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {self._cookie}\r\n\r\n".encode())
        try:
            while data := await reader.read(65536):
                self.received[index] += len(data)
                self.cpu_s = time.thread_time()
        finally:
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


def signed_in(port: int) -> str:
    """The cookies of somebody who has signed in."""
    connection = HTTPConnection("127.0.0.1", port)
    cookies: List[str] = []

    def kept(name: str) -> None:
        answer = connection.getresponse()
        text = answer.read().decode()
        cookies[:] = cookies + [
            value.split(";")[0] for key, value in answer.getheaders() if key.lower() == "set-cookie"
        ]
        if answer.status >= 400:
            raise click.ClickException(f"{name}: {answer.status} {text[:200]}")
        tokens.extend(re.findall(r'name="token" value="([0-9a-f]*)"', text))

    tokens: List[str] = []
    connection.request("GET", "/sign-in")
    kept("the page to sign in")
    form = urlencode({"token": tokens[0], "name": "bench", "password": PASSWORD, "next": "/"})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "; ".join(cookies)}
    connection.request("POST", "/sign-in", form, {**headers, "Origin": f"http://127.0.0.1:{port}"})
    kept("the sign-in")
    connection.close()
    return "; ".join(cookies)


def drain(on: Server, pool: Pool, served: int, messages: int, browsers: Browsers | None) -> Round:
    goal = on.acked() + messages
    with pool.paused():
        on.mq.publish_messages_to_queue(QUEUE, [{"n": n} for n in range(messages)])
        dashboard_s, browsers_s = cpu_s([served]), browsers.cpu_s if browsers else 0.0
        begin_s = time.perf_counter()
    wait_until(lambda: on.acked() >= goal, "the messages to be acked", pool)
    took_s = time.perf_counter() - begin_s
    return Round(
        len(browsers.received) if browsers else 0, messages / took_s,
        100 * (cpu_s([served]) - dashboard_s) / took_s,
        100 * (browsers.cpu_s - browsers_s) / took_s if browsers else 0.0,
    )  # fmt: skip


def measure(on: Server, count: int, messages: int, rounds: int) -> List[Round]:
    found: List[Round] = []
    with started(command(on, 2, "bench.handlers:noop")) as pool, dashboard(on.url) as served:
        pool.wait_idle(on, 2)
        warm_up(on, pool, 2)
        assert served.stderr is not None
        address = _ADDRESS.search(served.stderr.readline())
        if address is None:
            raise click.ClickException("the dashboard did not start")
        for _ in range(rounds):
            found.append(drain(on, pool, served.pid, messages, None))
            browsers = Browsers(int(address[1]), count)
            try:
                wait_until(lambda: all(browsers.received), "the browsers", pool)  # noqa: B023 - called at once
                found.append(drain(on, pool, served.pid, messages, browsers))
            finally:
                browsers.close()
        if pool.stop() != 0:
            raise click.ClickException("the pool has ended badly")
    return found


@click.command()
@click.option("--browsers", "count", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--messages", type=click.IntRange(min=1), default=1_000_000, show_default=True, help="In a round.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@report.options
def main(count: int, messages: int, rounds: int, where: str, json_path: Path | None) -> None:
    """What open pages of the dashboard cost a drain at full speed."""
    with server(where) as on:
        facts, acked_before = report.conditions(on), on.acked()
        found = measure(on, count, messages, rounds)
        balance = report.balance(on, QUEUE, 2 * rounds * messages + 4000, acked_before)
    without, with_them = ([one for one in found if bool(one.browsers) is wanted] for wanted in (False, True))
    ratios = [b.messages_per_s / a.messages_per_s for a, b in zip(without, with_them)]
    results = {
        "benchmark": "browsers",
        "conditions": facts,
        "settings": {"browsers": count, "messages": messages, "rounds": rounds},
        "rounds": [asdict(one) for one in found],
        "of_without": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "balance": balance,
    }
    rows = [
        [str(one.browsers), f"{one.messages_per_s:,.0f}", f"{one.dashboard_cpu_percent:.1f}",
         f"{one.browsers_cpu_percent:.1f}"]
        for one in found
    ]  # fmt: skip
    rows.append(["with / without", f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})", "", ""])
    report.publish(results, ["browsers", "messages/s", "dashboard CPU %", "browsers' CPU %"], rows, json_path)


if __name__ == "__main__":
    main()
