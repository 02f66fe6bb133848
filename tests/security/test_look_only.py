"""The documented user of those who only look: dashboard and top show all, and nothing can be written."""

from __future__ import annotations

import asyncio
import re
from typing import Callable, List

import pytest

for _module in ("starlette", "jinja2", "httpx"):
    pytest.importorskip(_module, reason="the dashboard's tests need the extra `test`")

import httpx  # noqa: E402 - after the check above

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerRefusesError, MessageOptions, QueueOptions  # noqa: E402 - the same
from bizzmq.control.acts import record_act  # noqa: E402 - the same
from bizzmq.testing.server import RedisServer  # noqa: E402 - the same
from bizzmq.top.reader import Reader  # noqa: E402 - the same
from bizzmq.web import Role, dashboard  # noqa: E402 - the same
from tests.scripts.containers import everything  # noqa: E402 - the same
from tests.security.monitor import monitored  # noqa: E402 - the same
from tests.security.roles import DOCUMENT, refusals, rules, set_user, url_of  # noqa: E402 - the same
from tests.support.features import need_acl  # noqa: E402 - the same

PAGES = ("/", "/queues/q", "/queues/q?state=delayed", "/queues/q?state=processing", "/queues/q?state=dead_lettered",
         "/failures", "/pools", "/schedules", "/jobs", "/log", "/cost", "/queues/q?range=1d",
         "/queues/q/options")  # fmt: skip


def line_of_redis_7() -> List[str]:
    """The line of an inspector, and what the table adds to it."""
    row = re.search(
        r"^\| a dashboard, or `bizzmq top`, with which nobody acts \|(.*)\|$", DOCUMENT.read_text(), re.MULTILINE
    )
    assert row
    return [*rules("inspector"), *re.findall(r"`(\([^`]*\))`", row[1])]


LINES: dict[str, Callable[[], List[str]]] = {
    "redis 6": lambda: rules("looker", marker="acl6"), "redis 7": line_of_redis_7,
}  # fmt: skip


@pytest.fixture
def filled(private_server: Callable[..., RedisServer]) -> RedisServer:
    """A server with a message in each state, a schedule, an act, and the history of a pool."""
    server = private_server()
    with BizzMQ(server.url) as mq, server.client() as admin:
        need_acl(admin)
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        failed = mq.publish_message_to_queue("q", 1, MessageOptions(retries=0, result_ttl_s=600))
        mq.consume_until_empty("q", lambda _: 1 // 0, timeout_s=30)
        mq.publish_messages_to_queue("q", [1, 2])
        mq.publish_message_to_queue("q", 3, MessageOptions(delay_s=600, priority=1))
        mq.pause("q", task="t")
        mq._perform(record_act, "a1", {"who": "ada", "what": "cancel", "queue": "q", "message": failed})
        mq.schedule("daily", "q", {"days": 30}, cron="0 3 * * *")
    return server


async def look(url: str, paths: List[str], act: str = "") -> List[httpx.Response]:
    """Load pages of the dashboard; with `act`, press a button of the first one."""
    async with AsyncBizzMQ(url) as mq:
        app = dashboard(mq, authorize=lambda _: Role.ACT)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", follow_redirects=True) as client:
            answers = [await client.get(path) for path in paths]
            if act:
                token = re.search(r'name="token" value="([0-9a-f]*)"', answers[0].text)
                assert token
                answers.append(await client.post(act, data={"token": token[1]}))
        app.state.site.close()
        return answers


def commands_of(line: List[str]) -> set[str]:
    return {word.strip("()")[1:] for rule in line for word in rule.split() if word.strip("()").startswith("+")}


@pytest.mark.parametrize("version", LINES)
def test_they_see_everything_and_can_change_nothing(filled: RedisServer, version: str) -> None:
    line = LINES[version]()
    with filled.client() as admin, BizzMQ(filled.url) as owner:
        set_user(admin, "inspector" if version == "redis 7" else "looker", line)
        url = url_of(filled, "inspector" if version == "redis 7" else "looker")
        (letter,) = owner.messages("q", "dead_lettered").messages
        (waiting, _) = owner.messages("q").messages
        before = everything(admin)
        paths = [*PAGES, f"/queues/q/messages/{letter.id}", f"/find?id={waiting.id}"]

        with monitored(filled, admin) as sent:
            answers = asyncio.run(look(url, paths))
            with BizzMQ(url) as mq:
                reader = Reader(mq)
                picture = reader.read()
                assert [row.queue for row in picture.rows] == ["q"]
                assert [one.queue for one in reader.read_failing(picture)] == ["q"]
                reader.close()
        assert [answer.status_code for answer in answers] == [200] * len(paths)
        for number, text in ((5, "ZeroDivisionError"), (7, "daily"), (9, "ada")):
            assert text in answers[number].text
        assert refusals(admin) == []
        if version == "redis 6":
            assert commands_of(line) - {name for name, _ in sent} == {"type"}  # it names a key of the wrong type
        assert {("hgetall", "schedules"), ("hgetall", "fires"), ("zrange", "due"), ("xrevrange", "acts")} <= sent

        refused = asyncio.run(
            look(url, [f"/queues/q/messages/{waiting.id}"], f"/queues/q/messages/{waiting.id}/cancel")
        )
        assert "permission" in refused[-1].text
        with BizzMQ(url) as mq:
            for change in (lambda: mq.cancel(waiting.id), lambda: mq.pause("q"), lambda: mq.replay("q", letter.id),
                           lambda: mq.publish_message_to_queue("q", 1), lambda: mq.purge("q")):  # fmt: skip
                with pytest.raises(BrokerRefusesError):
                    change()
        assert everything(admin) == before
