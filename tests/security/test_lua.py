"""Lua scripts are constant text in files: published data reaches them only as KEYS and ARGV."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Iterator

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.broker import scripts
from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.testing.layout import command

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "bizzmq" / "lua"
SOURCES = sorted(
    {*(ROOT / "bizzmq").rglob("*.py"), *(ROOT / "workers").rglob("*.py")}
    - {*(ROOT / "bizzmq" / "testing").rglob("*.py")}
)
CODE = "']]) redis.call('FLUSHALL') --"
HOSTILE: list[Any] = [CODE, {CODE: CODE}, "]]", "\0", "redis.call('FLUSHALL')", '" .. KEYS[1] .. "']


class Wiretap(Connection):
    """Records the text of every script that is sent."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.texts: list[str] = []

    def execute_plain(self, args: tuple[str | bytes, ...]) -> Any:
        if args[0] == "EVAL":
            self.texts.append(args[1])
        return super().execute_plain(args)


@pytest.fixture
def wiretap(url: str) -> Iterator[Wiretap]:
    tapped = Wiretap(url)
    yield tapped
    tapped.drop()


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_consists_only_of_its_files(name: str) -> None:
    script = scripts.load(name)

    parts = [next(LUA.glob(f"*/{part}.lua")).read_text(encoding="utf-8") for part in (*script.includes, name)]

    assert script.source == "".join(parts)


@pytest.mark.parametrize("path", sorted(LUA.glob("*/*.lua")), ids=lambda path: path.stem)
def test_no_script_generates_code_or_key_names(path: Path) -> None:
    code = re.sub(r"--.*", "", path.read_text(encoding="utf-8"))

    assert not re.search(r"\b(load|loadstring|dofile|loadfile|setfenv|getfenv|setmetatable|rawset|_G)\b", code)
    calls = re.findall(r"redis\.p?call\(([^,)]*)(?:, ([^,)]*))?", code)
    assert all(re.fullmatch(r"'[A-Z]+'", name) for name, _ in calls), "a command name that is not constant"
    assert not [key for _, key in calls if ".." in key or "'bizzmq" in key], "a key name that is generated here"


def test_only_the_two_brokers_and_the_doctor_send_lua() -> None:
    senders = {
        "/".join(path.parts[-2:])
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
        if node.args[0].value in ("EVAL", "EVALSHA", "SCRIPT", "FUNCTION", "FCALL")
    }

    assert senders <= {"broker/script_runner.py", "aio/broker.py", "doctor/server_checks.py"}, senders


def test_the_doctors_script_is_constant() -> None:
    from bizzmq.doctor import server_checks

    assert isinstance(server_checks._SCRIPT, str)
    assert "KEYS" not in server_checks._SCRIPT
    assert "redis.call" not in server_checks._SCRIPT


def test_published_data_is_never_part_of_a_script(url: str, redis: Any, wiretap: Wiretap) -> None:
    command(redis, "SCRIPT", "FLUSH")  # so that every script is sent as text
    broker = Broker(wiretap)
    broker.create("q", QueueOptions(config_dead_letter_queue=True))
    broker.register("q", CODE, CODE)
    with BizzMQ(url) as mq:
        published = mq.publish_messages_to_queue("q", HOSTILE, MessageOptions(retries=0))
    command(redis, "SCRIPT", "FLUSH")
    claimed = broker.claim("q", CODE, 100)
    broker.dead_letter("q", CODE, published[0], "0 0 0 0", CODE.encode())
    broker.retry("q", CODE, published[1], "0 0 0 0", "1 0 0 0", 0)
    broker.heartbeat("q", CODE)

    constant = {scripts.load(name).source for name in scripts.names()}
    assert len(claimed.entries) == len(HOSTILE)
    assert len(wiretap.texts) >= 6
    assert set(wiretap.texts) <= constant
