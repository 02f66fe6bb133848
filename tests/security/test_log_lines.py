"""With any input from outside, a log line is one line without control characters that names its writer."""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis

from bizzmq.testing.layout import Keys
from bizzmq.testing.wait import eventually
from bizzmq.utils.logs import JsonFormatter, TextFormatter, escape, log
from tests.faults.scene import PATIENCE_S, Scene, log_says
from tests.pool.command import OPERATOR, run
from tests.support.examples import examples

FORGED = "x\n2026-01-01T00:00:00.000Z ERROR   forged\r\x1b[31m\u2028\x85\x00"
outside = st.one_of(st.text(), st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")), st.just(FORGED))
NOT_SHOWN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def lines(sentence: str, **about: Any) -> tuple[str, str]:
    """One event in both log formats."""
    written: list[logging.LogRecord] = []
    logger = logging.getLogger("tests.security")
    handler = logging.Handler()
    handler.emit = written.append  # type: ignore[method-assign,assignment]  # keeps it
    logger.addHandler(handler)
    try:
        log(logger, logging.ERROR, sentence, **about)
    finally:
        logger.removeHandler(handler)
    return TextFormatter().format(written[0]), JsonFormatter().format(written[0])


@settings(max_examples=examples(300), deadline=None)
@given(name=outside, error=outside)
def test_fields_and_errors_cannot_forge_a_line(name: str, error: str) -> None:
    for given_error in (error, ValueError(error)):
        text, document = lines("something happened", queue=name, error=given_error)

        first, *others = text.split("\n")
        assert all(line.startswith("    | ") for line in others)
        assert not NOT_SHOWN.search(text)
        assert len(document.splitlines()) == 1
        assert not NOT_SHOWN.search(document)
        assert json.loads(document)["queue"] == name
        assert " queue=" in first


@settings(max_examples=examples(300), deadline=None)
@given(outside)
def test_escaped_text_is_one_printable_line(text: str) -> None:
    assert escape(text).isprintable() or not escape(text)


def test_forged_registrations_and_ids_cannot_forge_a_line_of_a_pool(scene: Scene, redis: Redis) -> None:
    for name in (FORGED.encode(), b"\xff\xfe\n"):
        redis.hset(Keys("q").supervisors, name, 7)
        redis.hset(Keys("q").workers, name, name)
    redis.hset(Keys("q").messages, FORGED, FORGED)
    redis.lpush(Keys("q").waiting, FORGED)

    pool = scene.pool("--lease=1", "--log-level=debug", concurrency=1, ready=False)

    log_says(pool, "message is undecodable")
    log_says(pool, "a silent supervisor was reaped", times=2)
    eventually(lambda: len(scene.registered()) == 1, PATIENCE_S)
    assert all(re.match(r"\d{4}-\d\d-\d\dT|    \| ", line) for line in pool.log().split("\n") if line)
    assert not NOT_SHOWN.search(pool.log())
    pool.close()


def test_dead_letters_cannot_forge_output_of_the_command(scene: Scene, redis: Redis) -> None:
    redis.hset(Keys("q_dlq").messages, FORGED, f'1\t{{}}\t{json.dumps({"error": FORGED, FORGED: FORGED})}\n"x"')
    redis.lpush(Keys("q_dlq").waiting, FORGED)
    show: Callable[..., Any] = lambda *words: run(OPERATOR, f"--redis-url={scene.url}", "dlq", *words)  # noqa: E731

    for words in (("list", "q"), ("show", "q"), ("show", "q", "nothing\x1b[31m")):
        ended = show(*words)
        assert not NOT_SHOWN.search(ended.out + ended.err), (words, ended)
        assert not [line for line in ended.out.splitlines() if line.startswith("2026-01-01")]
