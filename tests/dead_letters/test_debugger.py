"""`bizzmq replay ID --pdb`: the message runs here, and Redis stays as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from redis import Redis

from bizzmq import BizzMQ, QueueOptions
from bizzmq.testing.layout import Keys
from tests.dead_letters.letters import bury, record
from tests.pool.command import Finished
from tests.scripts.containers import everything
from tests.support.forked_command import bizzmq

HERE = "tests.dead_letters.failing"


@pytest.fixture
def debug(mq: BizzMQ, redis: Redis, url: str) -> Any:
    """Debugs one dead letter with the given commands, and checks that nothing has changed in Redis."""
    mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))

    def command(body: Any, handler: str, *commands: str, **options: Any) -> Finished:
        (one,) = bury(redis, record(), **options)
        dead = Keys("q_dlq")
        redis.hset(dead.messages, one, redis.hget(dead.messages, one).partition("\n")[0] + "\n" + json.dumps(body))
        before = everything(redis)
        stdin = "".join(f"{line}\n" for line in commands).encode()
        ended = bizzmq("replay", one, "--pdb", "--handler", f"{HERE}:{handler}", stdin=stdin, REDIS_URL=url)
        assert everything(redis) == before
        return ended

    return command


def test_the_debugger_begins_in_the_last_line_of_the_users_code(debug: Any) -> None:
    ended = debug("x", "handler", "p secret", "p body", "down", "p 'in json'", "q")

    assert ended.code == 1
    assert "failing.py" in ended.out
    assert "(Pdb) 42" in ended.out
    assert "json/__init__.py" in ended.out, "down leads into the library"
    assert "JSONDecodeError" in ended.err
    assert ended.err.endswith("the handler has failed again: nothing was changed in Redis\n")


def test_an_async_handler_is_debugged_where_it_raised(debug: Any) -> None:
    ended = debug("soon", "later", "p waited", "q")

    assert ended.code == 1
    assert "(Pdb) 'soon'" in ended.out


def test_a_task_of_an_app_is_debugged(debug: Any) -> None:
    ended = debug({"by": 0}, "app", "p by", "q", task="divide")

    assert ended.code == 1
    assert "(Pdb) 0" in ended.out
    assert "ZeroDivisionError" in ended.err


def test_a_handler_that_succeeds_leaves_the_letter(debug: Any) -> None:
    ended = debug("fine", "handler")

    assert (ended.code, ended.out) == (0, "")
    assert "the handler has succeeded: the dead letter stays" in ended.err


@pytest.mark.parametrize(
    ("handler", "options", "text"),
    [
        ("app", {"task": "other"}, "no task 'other'"), ("nothing", {}, "has no 'nothing'"),
        ("app", {"task": "divide", "version": 9}, "version 9"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_one_line(debug: Any, handler: str, options: Any, text: str) -> None:
    ended = debug({"by": 1}, handler, **options)

    assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), ended
    assert text in ended.err


def test_the_end_of_the_input_leaves_the_debugger(debug: Any) -> None:
    assert debug("x", "handler").code == 1


def test_an_unreadable_letter_and_one_that_is_not_signed_do_not_run(debug: Any, redis: Redis, url: str) -> None:
    (one,) = bury(redis, record())

    keys = {"BIZZMQ_SIGNING_KEYS": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="}
    ended = bizzmq("replay", one, "--pdb", "--handler", f"{HERE}:handler", REDIS_URL=url, **keys)

    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "is not signed" in ended.err
