"""`bizzmq top`: what it shows, and what its keys do, on a real server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from bizzmq import BizzMQ, QueueOptions
from bizzmq.consumer.lease import LeaseOptions
from bizzmq.errors import MessageCancelled
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, refused

pytest.importorskip("textual", reason="needs the extra top")

from bizzmq.top.terminal import TopApp

PATIENCE_S = 60.0


class Screen:
    """The program in a test: its keys, and the text of what it shows."""

    def __init__(self, app: TopApp, pilot: Any) -> None:
        self.app, self._pilot = app, pilot

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    def table(self, name: str) -> list[list[str]]:
        table = self.app._table(name)
        return [[cell.plain for cell in table.get_row(key)] for key in table.rows]

    def text(self, name: str) -> str:
        return str(self.app.screen_stack[0].query_one(f"#{name}").render())  # type: ignore[attr-defined]

    def dialog(self) -> str:
        return "\n".join(str(one.render()) for one in self.app.screen.query("Static"))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that the program shows or has done."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up_s, self.dialog()
            await self._pilot.pause(0.05)


def see(mq: BizzMQ, walk: Callable[[Screen], Any], size: tuple[int, int] = (100, 30)) -> None:
    """Run the program without a terminal while `walk` presses keys and looks."""

    async def program() -> None:
        app = TopApp(mq, every_s=0.2)
        async with app.run_test(size=size) as pilot:
            await walk(Screen(app, pilot))

    asyncio.run(program())


def test_queues_and_what_is_wrong_are_shown(mq: BizzMQ) -> None:
    mq.create_queue("mail", QueueOptions(config_dead_letter_queue=True))
    mq.create_queue("jobs")
    mq.publish_messages_to_queue("mail", [1] * 1234)

    async def walk(screen: Screen) -> None:
        await screen.until(lambda: len(screen.table("queues")) == 2)
        assert [row[:2] for row in screen.table("queues")] == [["jobs", "0"], ["mail", "1,234"]]
        assert screen.text("summary").startswith("2 queues  1,234 waiting  0 of 0 workers busy")
        assert "mail has 1,234 messages waiting" in screen.text("troubles")
        assert "and no worker." in screen.text("troubles")
        await screen.press("down", "enter")
        assert "No pool serves this queue." in screen.dialog()
        await screen.press("escape")
        mq.publish_messages_to_queue("jobs", [1, 2])
        await screen.until(lambda: screen.table("queues")[0][1] == "2")
        assert screen.app._table("queues").cursor_row == 1, "the cursor has left its row"
        await screen.press("slash", *"mai", "enter")
        await screen.until(lambda: [row[0] for row in screen.table("queues")] == ["mail"])
        await screen.press("escape")
        await screen.until(lambda: len(screen.table("queues")) == 2)

    see(mq, walk)


def test_a_queue_is_paused_and_resumed_by_a_key(mq: BizzMQ, queue: str) -> None:
    async def walk(screen: Screen) -> None:
        await screen.until(lambda: screen.table("queues"))
        await screen.press("p", "escape")
        assert mq.pauses(queue) == []
        await screen.press("p", *"deploy", "enter")
        await screen.until(lambda: screen.table("queues")[0][0] == f"{queue} (paused)")
        (pause,) = mq.pauses(queue)
        assert (pause.reason, bool(pause.by)) == ("deploy", True)
        await screen.press("p")
        await screen.press("n")
        assert len(mq.pauses(queue)) == 1
        await screen.press("p", "y")
        await screen.until(lambda: screen.table("queues")[0][0] == queue)
        assert mq.pauses(queue) == []

    see(mq, walk)


def test_failures_are_grouped_shown_and_replayed(mq: BizzMQ) -> None:
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True, max_retries=0))

    def handler(body: Any) -> None:
        raise (ValueError if body else KeyError)(f"[bold]{body}[/bold] \x1b[31m")

    mq.publish_messages_to_queue("q", [1, 1, 0])
    mq.consume_until_empty("q", handler, timeout_s=PATIENCE_S)

    async def walk(screen: Screen) -> None:
        await screen.press("4")
        await screen.until(lambda: len(screen.table("failures")) == 2)
        first = screen.table("failures")[0]
        assert first[:3] == ["q", "2", "ValueError"]
        assert "[bold]1[/bold]" in first[5]
        assert "\x1b" not in "".join(first)
        await screen.press("enter")
        await screen.until(lambda: "ValueError" in screen.dialog())
        assert "[bold]1[/bold]" in screen.dialog()
        assert "\x1b" not in screen.dialog()
        await screen.press("escape", "r")
        assert "Replay 2 dead letters of this failure of q?" in screen.dialog()
        await screen.press("y")
        await screen.until(lambda: mq.stats("q").waiting == 2)
        assert mq.stats("q").dead_lettered == 1
        await screen.until(lambda: len(screen.table("failures")) == 1)

    see(mq, walk)


def test_a_running_message_is_cancelled(mq: BizzMQ, queue: str, url: str, consumer_factory: Any) -> None:
    began, ended = threading.Event(), []

    def handler(_body: Any) -> None:
        began.set()
        try:
            while True:
                time.sleep(0.05)
        except MessageCancelled:
            ended.append("cancelled")
            raise

    consumer_factory(url, queue, handler, LeaseOptions(beat_s=0.2))
    message_id = mq.publish_message_to_queue(queue, 1)
    assert began.wait(PATIENCE_S)

    async def walk(screen: Screen) -> None:
        await screen.press("2")
        await screen.until(lambda: [row[0] for row in screen.table("running")] == [message_id])
        await screen.press("enter")
        await screen.until(lambda: "being handled" in screen.dialog())
        await screen.press("escape", "c")
        assert f"Cancel {message_id}, which runs?" in screen.dialog()
        await screen.press("y")
        await screen.until(lambda: ended)
        await screen.until(lambda: screen.table("running") == [])
        await screen.press("3")
        await screen.until(lambda: screen.table("pools")[0][2] == "working")

    see(mq, walk)
    assert mq.stats(queue).cancelled == 1


def test_a_key_without_its_row_says_so_and_does_nothing(mq: BizzMQ, queue: str) -> None:
    async def walk(screen: Screen) -> None:
        await screen.until(lambda: screen.table("queues"))
        for keys in (["c"], ["2", "c"], ["2", "enter"], ["4", "r"], ["3", "p"]):
            await screen.press(*keys)
            assert len(screen.app.screen_stack) == 1, keys
        await screen.press("1", "r")
        assert len(screen.app.screen_stack) == 1, "there is nothing to retry"

    see(mq, walk)


def test_a_redis_that_is_away_is_named_and_the_last_picture_stays(private_server: Callable[..., RedisServer]) -> None:
    server = private_server(persistence="aof")

    async def walk(screen: Screen) -> None:
        await screen.until(lambda: screen.table("queues"))
        server.kill()
        await screen.until(lambda: "Redis cannot be asked" in screen.text("away"))
        assert [row[0] for row in screen.table("queues")] == ["mail"]
        await screen.press("p", *"x", "enter")  # an act that fails says so, and the program goes on
        server.restart()
        await screen.until(lambda: not screen.app.screen_stack[0].query_one("#away").has_class("shown"))
        mq.create_queue("other")
        await screen.until(lambda: len(screen.table("queues")) == 2)

    with BizzMQ(server.url) as mq:
        mq.create_queue("mail")
        see(mq, walk)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Run tmux commands in a server of their own; ends it."""
    program = shutil.which("tmux")
    if program is None:
        pytest.skip("needs tmux")

    def tmux(*arguments: str, **options: Any) -> str:
        command = [program, "-S", str(tmp_path / "tmux"), "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options).stdout

    yield tmux
    tmux("kill-server")


def test_the_command_fits_a_terminal_of_80_columns(
    mq: BizzMQ, queue: str, url: str, terminal: Callable[..., str], tmp_path: Path
) -> None:
    mq.publish_messages_to_queue(queue, [1] * 7)
    done = tmp_path / "code"
    command = f"{sys.executable} -m {OPERATOR} --redis-url {url} top --every 0.2"

    terminal("new-session", "-d", "-x", "80", "-y", "24", f"{command}; echo $? > {done}")
    eventually(lambda: f"{queue} has 7 messages waiting" in terminal("capture-pane", "-p"), PATIENCE_S)
    shown = terminal("capture-pane", "-p")
    terminal("send-keys", "q")

    eventually(lambda: done.exists() and done.read_text() == "0\n", PATIENCE_S)
    head = next(line for line in shown.splitlines() if "waiting" in line and "workers" in line and "oldest" in line)
    assert head.split()[:9] == [
        "queue",
        "waiting",
        "oldest",
        "running",
        "dead",
        "workers",
        "in/min",
        "out/min",
        "fail/min",
    ]


def test_without_redis_or_the_extra_there_is_one_line(tmp_path: Path, url: str) -> None:
    assert "Redis" in refused(OPERATOR, "--redis-url", "redis://127.0.0.1:1/0", "top", code=1)
    (tmp_path / "textual.py").write_text("raise ImportError('no textual here')\n")
    said = refused(OPERATOR, "--redis-url", url, "top", PYTHONPATH=str(tmp_path))
    assert "needs the extra `top`" in said
