"""`bizzmq publish`: what arrives, and that bad input publishes nothing."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from bizzmq.broker.broker import Broker
from bizzmq.connection.base import Connection
from bizzmq.protocol.envelope import MAX_PAYLOAD_BYTES
from bizzmq.testing.layout import attempts_of, envelope_of, snapshot
from tests.faults.scene import QUEUE, Scene
from tests.pool.command import OPERATOR, refused, run


def test_one_document_is_published_and_its_id_printed(scene: Scene) -> None:
    options = ["--priority=7", "--retries=1", "--timeout=2.5"]

    (message,) = run(OPERATOR, "publish", *options, QUEUE, '{"n": [1, "ä"]}', REDIS_URL=scene.url).lines()

    assert snapshot(scene.redis, QUEUE)[0].prioritized == [message]
    stored = envelope_of(scene.redis, QUEUE, message)
    assert stored.body == {"n": [1, "ä"]}
    assert (stored.options["retries"], stored.options["timeout_s"]) == (1, 2.5)
    assert attempts_of(scene.redis, QUEUE, message).priority == 7


def test_lines_of_stdin_are_published_in_order_and_blank_ones_skipped(scene: Scene) -> None:
    documents = [{"n": number} for number in range(2_500)]
    lines = "\n\n".join(json.dumps(document) for document in documents).encode()

    ended = run(OPERATOR, "publish", QUEUE, stdin=lines, REDIS_URL=scene.url)

    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[-1] == "2500 messages published"
    assert [envelope_of(scene.redis, QUEUE, message).body for message in scene.waiting()] == documents


@pytest.mark.parametrize(("choice", "kept"), [("keep", "which is kept"), ("replace", "which it replaces")])
def test_a_duplicate_is_named(scene: Scene, choice: str, kept: str) -> None:
    arguments = ("publish", QUEUE, "--unique-key=k", f"--on-duplicate={choice}")
    first = run(OPERATOR, *arguments, "1", REDIS_URL=scene.url)
    second = run(OPERATOR, *arguments, "2", REDIS_URL=scene.url)
    lines = run(OPERATOR, *arguments, stdin=b"3\n4\n", REDIS_URL=scene.url)

    assert (second.code, second.out, first.err) == (0, first.out, "")
    assert second.err == f"a duplicate: an earlier message has its unique key, {kept}\n"
    assert lines.err.splitlines()[-1] == "2 messages published, 2 of them duplicates of stored ones"


def test_delay_and_create_options(redis: Redis, url: str) -> None:
    (message,) = run(OPERATOR, "publish", "--create", "--delay=60", "fresh", "null", REDIS_URL=url).lines()

    assert snapshot(redis, "fresh")[0].delayed == [message]
    assert [row["queue"] for row in run(OPERATOR, "queues", "--json", REDIS_URL=url).json()] == ["fresh", "fresh_dlq"]


def test_a_queue_is_created_with_shards(url: str) -> None:
    run(OPERATOR, "publish", "--create", "--shards=3", "wide", "null", REDIS_URL=url)

    broker = Broker(Connection(url))
    assert broker.shards("wide") == ["wide", "wide:1", "wide:2"]
    broker.connection.drop()


@pytest.mark.parametrize("document", ["{", "", "{'n': 1}", "NaN", "[1] [2]", "[" * 100_000, "\udcff"], ids=range(7))
def test_a_document_that_is_not_json_is_refused(scene: Scene, document: str) -> None:
    assert "JSON" in refused(OPERATOR, "publish", QUEUE, document, REDIS_URL=scene.url)
    _nothing_was_published(scene)


@pytest.mark.parametrize(
    ("bad", "reported"),
    [
        (b"{oops}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[Infinity]", "not JSON"),
        (b'"' + b"x" * MAX_PAYLOAD_BYTES + b'"', f"the limit is {MAX_PAYLOAD_BYTES}"),
    ],
    ids=["text", "bytes", "constant", "too large"],
)
def test_one_bad_line_among_many_publishes_nothing_and_is_named(scene: Scene, bad: bytes, reported: str) -> None:
    lines = [b'{"n": 1}'] * 1_500 + [bad, b'{"n": 2}']

    line = refused(OPERATOR, "publish", QUEUE, "-", stdin=b"\n".join(lines), REDIS_URL=scene.url)

    assert "line 1501" in line
    assert reported in line
    assert "nothing was published" in line
    _nothing_was_published(scene)


@pytest.mark.parametrize("document", ["{}", "-"])
def test_a_missing_queue_is_reported_before_anything_is_read(redis: Redis, url: str, document: str) -> None:
    line = refused(OPERATOR, "publish", "nowhere", document, code=1, stdin=b"{oops}", REDIS_URL=url)

    assert "queue 'nowhere' does not exist" in line
    assert redis.keys("*") == []


@pytest.mark.usually(8)
@pytest.mark.parametrize(
    "arguments",
    [
        ["publish"],
        ["publish", "not/a/queue", "{}", "--create"],
        ["publish", QUEUE, "{}", "--shards=2"],
        ["publish", "fresh", "{}", "--create", "--shards=0"],
        ["publish", QUEUE, "{}", "--retries=-1"],
        ["publish", QUEUE, "{}", "--delay=soon"],
        ["publish", QUEUE, "{}", "--delay=nan"],
        ["publish", QUEUE, "{}", "--timeout=0"],
        ["publish", QUEUE, "{}", "--priority=high"],
        ["publish", QUEUE, "{}", "--priority=99999999999999999999"],
        ["publish", QUEUE, "{}", "--no-such-option"],
        ["no-such-command"],
        ["stats"],
        ["stats", "two words"],
        ["dlq", "no-such-command", QUEUE],
        ["dlq", "list", QUEUE, "--limit=0"],
        ["demo", "--messages=1"],
        ["demo", "--torture", "--seconds=nan"],
        ["demo", "--torture", "--seconds=inf"],
        ["torture", "tests.handlers:ok", "--seconds=nan"],
        ["torture", "tests.handlers:ok", "--rate=nan"],
        ["torture", "tests.handlers:ok", "--patience=NaN"],
        ["torture", "tests.handlers:ok", "--faults="],
        ["torture", "tests.handlers:ok", "--faults=,"],
        ["audit", QUEUE, "--lease=nan"],
        ["publish", QUEUE, "{}", "--timeout=nan"],
        ["publish", QUEUE, "{}", "--confirm="],
        ["publish", QUEUE, "{}", "--confirm= "],
        ["publish", QUEUE, "{}", "--confirm=replicas"],
        ["--redis-url=redis://localhost?canary", "queues"],
        ["--redis-url=redis://localhost:1", "torture", "tests.handlers:ok"],
        ["--redis-url=redis://localhost:1", "demo"],
    ],
)
def test_bad_input_is_one_line_and_publishes_nothing(scene: Scene, arguments: list[str]) -> None:
    refused(OPERATOR, *arguments, REDIS_URL=scene.url)
    _nothing_was_published(scene)


def _nothing_was_published(scene: Scene) -> None:
    assert scene.mq.stats(QUEUE).published == 0
    assert not scene.waiting()


def test_a_document_and_a_line_are_nested_200_levels_at_most(scene: Scene) -> None:
    deepest, deeper = "[" * 200 + "]" * 200, '{"k":' * 201 + "1" + "}" * 201

    assert "nested more than 200 levels deep" in refused(OPERATOR, "publish", QUEUE, deeper, REDIS_URL=scene.url)
    lines = f"{deepest}\n{deeper}\n".encode()
    reported = refused(OPERATOR, "publish", QUEUE, stdin=lines, REDIS_URL=scene.url)
    assert "line 2: JSON nested more than 200 levels deep; nothing was published" in reported
    _nothing_was_published(scene)

    assert run(OPERATOR, "publish", QUEUE, deepest, REDIS_URL=scene.url).code == 0
    assert run(OPERATOR, "publish", QUEUE, stdin=f"{deepest}\n".encode(), REDIS_URL=scene.url).code == 0
    assert len(scene.waiting()) == 2
