"""Commands that a server lacks or refuses to this user: a fallback, or one clear line and an exit code."""

from __future__ import annotations

import re
import signal
from typing import Any, Callable, Iterable

import pytest

from bizzmq import BizzMQ, MessageOptions, QueueOptions
from bizzmq.doctor.roles import OPTIONAL, needed
from bizzmq.errors import BizzMQError, BrokerRefusesError
from bizzmq.publisher.publisher import RETRY_FOR_S
from bizzmq.testing import invariants
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.utils import clock
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, run
from tests.support.features import need_acl

_EXITS = 2


def each(names: Iterable[str], *usual: str) -> list[Any]:
    """All commands as parameters; an ordinary run has only the usual ones."""
    return [pytest.param(name, marks=[] if name in usual else [pytest.mark.soak]) for name in sorted(names)]


EASY = each(set(needed("worker")) & set(OPTIONAL) - {"ping"}, "bzpopmin", "multi")
VITAL = each(set(needed("worker")) - set(OPTIONAL), "hincrby", "evalsha")
WITH_DEAD_LETTERS = QueueOptions(config_dead_letter_queue=True, max_retries=1, retry_backoff_s=0.01)
Lacking = Callable[..., RedisServer]


@pytest.fixture
def lacking(private_server: Callable[..., RedisServer]) -> Lacking:
    """lacking("bzpopmin"): a server without these commands."""
    return lambda *names: private_server(config=[f'rename-command {name.partition("|")[0]} ""' for name in names])


def lines(pool: Pool, sentence: str) -> list[str]:
    return [line for line in pool.log().splitlines() if sentence in line]


def work(server: RedisServer, ledger: Ledger, start: Callable[..., Pool]) -> Pool:
    """Run a pool; it has handled immediate messages, messages that came while it was idle, and failed ones."""
    with BizzMQ(server.url) as mq:
        mq.create_queue("q", WITH_DEAD_LETTERS)
        pool = start(server.url)
        ids = mq.publish_messages_to_queue("q", [{}, {}, {"do": "raise"}])
        eventually(lambda: mq.stats("q").dead_lettered == 1 and mq.stats("q").acked == 2, PATIENCE_S, pool.log)
        ids += [mq.publish_message_to_queue("q", {}, MessageOptions(delay_s=0.2))]
        eventually(lambda: mq.stats("q").acked == 3, PATIENCE_S, pool.log)
    assert set(ledger.handled()) == {ids[0], ids[1], ids[3]}
    return pool


@pytest.mark.parametrize("name", EASY)
def test_a_pool_works_without_an_optional_command(
    lacking: Lacking, ledger: Ledger, pool_factory: Any, name: str
) -> None:
    pool = work(lacking(name), ledger, pool_factory)

    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    warnings = lines(pool, "BZPOPMIN is refused")
    assert len(warnings) == (len(pool.started_worker_pids()) if name == "bzpopmin" else 0), pool.log()
    assert "unavailable" not in pool.log()
    invariants.check_log(pool.log(), tracebacks=2)


def test_polling_workers_are_neither_expensive_nor_late(lacking: Lacking, ledger: Ledger, pool_factory: Any) -> None:
    server = lacking("bzpopmin")
    pool = work(server, ledger, pool_factory)
    admin = server.client()

    def claims() -> int:
        return int(admin.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    before = claims()
    eventually(lambda: int(admin.info("server")["uptime_in_seconds"]) > 4, PATIENCE_S)

    assert claims() - before < 60
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("name", each(needed("worker"), "bzpopmin", "multi", "ping", "hincrby"))
def test_a_refused_command_is_waited_for_or_replaced(
    private_server: Callable[..., RedisServer], ledger: Ledger, pool_factory: Any, name: str
) -> None:
    server = private_server()
    admin = server.client()
    need_acl(admin)
    with BizzMQ(server.url) as mq:
        mq.create_queue("q", WITH_DEAD_LETTERS)
    admin.execute_command("ACL", "SETUSER", "somebody", "on", ">secret", "~*", "+@all", "allchannels", f"-{name}")
    pool = pool_factory(server.url.replace("redis://", "redis://somebody:secret@"))

    with BizzMQ(server.url) as mq:
        ids = mq.publish_messages_to_queue("q", [{}, {}])
        if name not in OPTIONAL:
            eventually(
                lambda: lines(pool, "no permission") or lines(pool, "user executing the script"), PATIENCE_S, pool.log
            )
            admin.execute_command("ACL", "SETUSER", "somebody", f"+{name}")
        eventually(lambda: set(ledger.handled()) == set(ids), PATIENCE_S, pool.log)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0
    assert "worker died" not in pool.log()
    assert "cannot go on" not in pool.log()


@pytest.mark.parametrize("name", VITAL)
def test_a_pool_names_a_missing_required_command_and_exits(lacking: Lacking, pool_factory: Any, name: str) -> None:
    pool = pool_factory(lacking(name).url)

    assert pool.wait(PATIENCE_S) == _EXITS, pool.log()
    assert len([line for line in pool.log().splitlines() if line.startswith("bizzmq-worker: ")]) == 1, pool.log()
    assert re.search(rf"bizzmq-worker: .*\b{name.upper()}\b", pool.log())
    assert "worker died" not in pool.log()
    invariants.check_log(pool.log())


@pytest.mark.parametrize("name", sorted({*needed("publisher"), *needed("creator")} - {"ping"}))
def test_a_client_stores_what_it_reports_or_raises_at_once(lacking: Lacking, name: str) -> None:
    server = lacking(name)
    began_s = clock.monotonic()
    done, refusal = use(server.url)

    assert clock.monotonic() - began_s < RETRY_FOR_S / 2
    assert len(server.client().hkeys("bizzmq:{q}:messages")) >= done == (3 if refusal is None else done)
    if refusal is not None:
        assert name not in OPTIONAL
        assert re.search(r"(?i)unknown.*command", str(refusal)), refusal


def use(url: str) -> tuple[int, BrokerRefusesError | None]:
    """The number of published messages, the counted number, and the error that ended the use, if any."""
    done = 0
    try:
        with BizzMQ(url) as mq:
            mq.create_queue("q", WITH_DEAD_LETTERS)
            for options in (MessageOptions(), MessageOptions(priority=1), MessageOptions(delay_s=9)):
                mq.publish_message_to_queue("q", 1, options)
                done += 1
            mq.stats("q")
    except BrokerRefusesError as refusal:
        return done, refusal
    return done, None


@pytest.mark.parametrize("name", ["wait", "waitaof", "expire"])
def test_an_impossible_confirmation_is_refused_before_the_message_is_stored(lacking: Lacking, name: str) -> None:
    try:
        server = lacking(name)
    except RuntimeError:  # the command does not exist before Redis 7.2
        assert name == "waitaof"
        server = lacking()
    with BizzMQ(server.url) as mq:
        mq.create_queue("q")
        with pytest.raises(BizzMQError, match=r"confirm"):
            mq.publish_message_to_queue("q", 1, MessageOptions(confirm="aof" if name == "waitaof" else "replicas:1"))

        assert mq.stats("q").published == 0


@pytest.mark.parametrize("name", each(set(needed("operator")) - {"ping"}, "multi"))
def test_the_bizzmq_command_works_or_prints_one_line(lacking: Lacking, name: str) -> None:
    server = lacking(name)

    for words in ("publish q {} --create", "queues", "stats q", "dlq list q", "audit q", "purge q --yes"):
        ended = run(OPERATOR, *words.split(), BIZZMQ_REDIS_URL=server.url)
        assert ended.code in ((0,) if name in OPTIONAL else (0, 1)), (words, ended)
        assert len(ended.err.splitlines()) == (1 if ended.code else 0), (words, ended)


def test_the_doctor_names_missing_commands_and_their_effect(lacking: Lacking) -> None:
    ended = run(OPERATOR, "doctor", BIZZMQ_REDIS_URL=lacking("bzpopmin", "multi", "hincrby", "zscan").url)

    found = [line for line in ended.out.splitlines() if "  commands " in line]
    assert [line.partition("  ")[0] for line in found] == ["warn", "fail", "warn", "warn"], ended
    assert [line.partition("has no ")[2].partition(":")[0] for line in found] == [
        "BZPOPMIN",
        "HINCRBY",
        "MULTI",
        "ZSCAN",
    ]
    assert ended.code == 1
