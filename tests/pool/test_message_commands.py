"""`bizzmq list`, `find` and `delete`."""

from __future__ import annotations

import json
from typing import Iterator

import click
import pytest
from redis import Redis

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.cli.main import command as operator
from bizzmq.testing.wait import eventually
from tests.pool.command import OPERATOR, refused
from tests.scripts.containers import everything, put
from tests.scripts.moves import held
from tests.support.forked_command import bizzmq


@pytest.fixture
def published(mq: BizzMQ) -> list[str]:
    """Five messages of the queue `q`, the last two of them delayed."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
    waiting = mq.publish_messages_to_queue("q", [{"n": number, "text": "\x1b[31m"} for number in range(3)])
    return [*waiting, *mq.publish_messages_to_queue("q", range(2), MessageOptions(delay_s=60))]


def test_messages_are_listed_in_pages(url: str, published: list[str]) -> None:
    first = bizzmq("list", "q", "--limit=2", REDIS_URL=url)
    cursor = first.err.split()[-1]
    rest = bizzmq("list", "q", "--limit=2", "--after", cursor, REDIS_URL=url)

    head, *lines = first.lines()
    assert head.split()[:2] == ["id", "published"]
    assert [line.split()[0] for line in [*lines, *rest.lines()[1:]]] == published[:3]
    assert (first.err, rest.err) == (f"... more: --after {cursor}\n", "")
    assert "\x1b" not in first.out


def test_messages_are_listed_as_json(mq: BizzMQ, url: str, published: list[str]) -> None:
    found = json.loads(bizzmq("list", "q", "--state=delayed", "--json", REDIS_URL=url).out)

    assert [message["id"] for message in found["messages"]] == published[3:]
    assert found == json.loads(json.dumps(mq.messages("q", "delayed").as_dict()))


def test_an_empty_list_says_where_messages_are(mq: BizzMQ, url: str, published: list[str]) -> None:
    mq.purge("q")
    mq.publish_messages_to_queue("q", range(2), MessageOptions(delay_s=60))
    mq.publish_message_to_queue("q", 1, MessageOptions(key="a"))
    mq.pause("q", key="a")
    mq.consume_message_from_queue("q", print)
    eventually(lambda: mq.stats("q").suspended == 1)

    assert bizzmq("list", "q", REDIS_URL=url).err == "no message is waiting; 2 delayed, 1 suspended: see --state\n"
    assert bizzmq("list", "q", "--task=other", REDIS_URL=url).err == ""
    head, row, *_ = (line.split() for line in bizzmq("queues", REDIS_URL=url, COLUMNS="200").lines())
    assert dict(zip([name for name in head if name != "oldest"], row))["suspended"] == "1"


def test_a_dead_letter_queue_shows_its_dead_letters(redis: Redis, url: str) -> None:
    put(redis, "q_dlq", held("d1", waiting=("d2",)))

    assert [line.split()[0] for line in bizzmq("list", "q_dlq", REDIS_URL=url).lines()[1:]] == ["d2"]
    held_now = bizzmq("list", "q_dlq", "--state=processing", REDIS_URL=url).lines()[1:]
    assert [line.split()[0] for line in held_now] == ["d1"]
    assert "state must be" in refused(OPERATOR, "list", "q_dlq", "--state=waiting", code=2, REDIS_URL=url)


@pytest.mark.parametrize("within", [[], ["--queue=q"]])
def test_a_message_is_found(mq: BizzMQ, url: str, published: list[str], within: list[str]) -> None:
    shown = bizzmq("find", published[3], *within, REDIS_URL=url).lines()
    document = json.loads(bizzmq("find", published[3], "--json", *within, REDIS_URL=url).out)

    fields = dict(line.split(maxsplit=1) for line in shown)
    assert (fields["id"], fields["queue"], fields["state"], fields["body"]) == (published[3], "q", "delayed", "0")
    found = mq.find(published[3])
    assert found is not None
    assert document == json.loads(json.dumps(found.as_dict()))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["find", "0" * 20], f"no queue has the message {'0' * 20}"),
        (["find", "0" * 20, "--queue=q"], f"q has no message {'0' * 20}"),
        (["delete", "q", "0" * 20, "--yes"], f"q has no message {'0' * 20}"),
        (["delete", "q", "x\x1b[31m", "--yes"], "q has no message x\\x1b[31m"),
        (["list", "other"], "other"),
        (["delete", "other", "x", "--yes"], "other"),
        (["pools", "--queue=other"], "bizzmq queue create other"),
        (["dlq", "replay", "other"], "bizzmq queue create other"),
    ],
)
def test_what_is_not_there_is_reported_in_one_line(
    redis: Redis, url: str, published: list[str], arguments: list[str], text: str
) -> None:
    before = everything(redis)

    assert text in refused(OPERATOR, *arguments, code=1, REDIS_URL=url)

    assert everything(redis) == before


@pytest.mark.parametrize("arguments", [
    ["cancel", "--queue=q", "--task=", "--yes"], ["cancel", "--queue=q", "--key= ", "--yes"], ["pause", "q", "--task="],
    ["dlq", "replay", "q", "--error="], ["dlq", "replay", "q", "0" * 20, "--edited="], ["delete", "q", "", "--yes"],
    ["cancel", ""], ["replay", "0" * 20, ""],
])  # fmt: skip
def test_an_empty_value_selects_nothing(redis: Redis, url: str, published: list[str], arguments: list[str]) -> None:
    """It comes from an unset variable of a shell. As a filter it would select everything."""
    before = everything(redis)

    assert "it is empty" in refused(OPERATOR, *arguments, REDIS_URL=url)

    assert everything(redis) == before


def test_every_option_that_takes_a_text_and_every_id_refuses_an_empty_one() -> None:
    def texts(one: click.Command, path: str) -> Iterator[tuple[str, click.Parameter]]:
        for name, command in one.commands.items() if isinstance(one, click.Group) else ():
            yield from texts(command, f"{path} {name}")
        for param in one.params:
            if param.type is click.STRING and (isinstance(param, click.Option) or "_id" in str(param.name)):
                yield f"{path} {param.name}", param

    accepting = [name for name, param in texts(operator, "bizzmq") if param.callback is None]

    assert accepting == ["bizzmq dashboard root_path"]


@pytest.mark.parametrize(("arguments", "text"), [
    (["cancel", "--queue=q", "--key=" + "k" * 513], "--key must be"), (["pause", "q", "--by=a\nb"], "--by must be"),
    (["profile", "0" * 20, "--for=0s"], "--for must be"), (["list", "q", "--after=x"], "--after must be"),
    (["pause", "q", "--task=a", "--key=b"], "either a task or a key"),
])  # fmt: skip
def test_an_error_names_the_option(
    redis: Redis, url: str, published: list[str], arguments: list[str], text: str
) -> None:
    before = everything(redis)

    assert text in refused(OPERATOR, *arguments, REDIS_URL=url)

    assert everything(redis) == before


def test_an_error_about_a_very_long_value_is_short(url: str) -> None:
    """And soon there: its addresses are looked for in a time that grows with its length only."""
    assert len(refused(OPERATOR, "cancel", "x" * 100_000, code=1, REDIS_URL=url)) < 2_100


def test_a_message_is_deleted_with_consent(mq: BizzMQ, url: str, published: list[str]) -> None:
    assert "add --yes" in refused(OPERATOR, "delete", "q", published[0], code=2, REDIS_URL=url)
    assert mq.stats("q").waiting == 3

    assert bizzmq("delete", "q", published[0], "--yes", REDIS_URL=url).lines() == ["1 message deleted"]

    assert mq.find(published[0]) is None
    assert (mq.stats("q").waiting, mq.stats("q").purged) == (2, 1)


def test_a_message_that_a_worker_holds_is_not_deleted(redis: Redis, url: str) -> None:
    put(redis, "q", held("m1"))
    before = everything(redis)

    assert "the worker w1 is processing it" in refused(OPERATOR, "delete", "q", "m1", "--yes", code=1, REDIS_URL=url)

    assert everything(redis) == before
