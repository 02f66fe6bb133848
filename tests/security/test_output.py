"""A canary in place of every secret: everything runs with it, and all output is searched for it."""

from __future__ import annotations

import base64
import http.client
import logging
import re
import signal
import traceback
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

import pytest

from bizzmq import BizzMQ, BrokerUnavailableError, ConfigurationError, MessageOptions, QueueOptions
from bizzmq.broker.broker import Broker
from bizzmq.connection import group_url
from bizzmq.connection.base import Connection
from bizzmq.connection.cluster.connection import ClusterConnection
from bizzmq.connection.sentinel import SentinelConnection
from bizzmq.protocol.signing import Signer
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from bizzmq.utils.logs import JsonFormatter, TextFormatter
from bizzmq.workers import WorkerConfig
from tests.faults.scene import PATIENCE_S, log_says
from tests.pool.command import OPERATOR, WORKER, Finished, run
from tests.scripts.containers import everything
from tests.supervision.pool_status import socket_of, status_of

CANARY = "canary-5e5f/@1"
"""With characters that an address has to encode: neither form may appear."""
KEY = base64.b64encode(b"-canary-key-".ljust(32, b"-")).decode()
TOKEN = "token-canary"
ENVIRONMENT = {"BIZZMQ_SIGNING_KEYS": KEY, "BIZZMQ_WORKER_HEALTH_TOKEN": TOKEN}


def assert_clean(text: object, where: str) -> None:
    """Check that a text contains none of the secrets."""
    shown = str(text)
    found = [line for line in shown.splitlines() if "canary" in line or KEY in line]
    assert not found, f"a secret in {where}: {found}"


def url_of(server: RedisServer, user: str = "") -> str:
    return f"redis://{user}:{quote(CANARY, safe='')}@{server.host}:{server.port}/0"


@pytest.fixture
def guarded(private_server: Callable[..., RedisServer]) -> RedisServer:
    return private_server(password=CANARY)


@pytest.fixture
def noted(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that this process logs, from level DEBUG, in both formats."""
    caplog.set_level(logging.DEBUG)
    formatters = (TextFormatter(), JsonFormatter())
    return lambda: "\n".join(formatter.format(record) for record in caplog.records for formatter in formatters)


def test_the_library_shows_no_secret(guarded: RedisServer, noted: Callable[[], str]) -> None:
    with BizzMQ(url_of(guarded), signing_keys=[KEY]) as mq:
        mq.create_queue("q", QueueOptions(config_dead_letter_queue=True))
        mq.publish_message_to_queue("q", "bad", MessageOptions(retries=0))
        mq.consume_message_from_queue("q", lambda _body: ValueError("bad"))
        eventually(lambda: mq.stats("q").dead_lettered == 1, PATIENCE_S)
        with guarded.client() as admin:
            assert_clean(everything(admin), "Redis")
        guarded.kill()
        eventually(lambda: "Redis is unavailable" in noted(), PATIENCE_S)
        guarded.start()
        assert_clean(repr(mq), "a repr")

    assert_clean(noted(), "the log")


@pytest.mark.parametrize("form", ["redis://:{}@{}/0", "redis://me:{}@{}/0", "redis://{1}/0?password={0}"])
def test_no_connection_error_shows_a_secret(guarded: RedisServer, form: str) -> None:
    wrong = form.format(quote(CANARY + "x", safe=""), f"{guarded.host}:{guarded.port}")
    closed = form.format(quote(CANARY, safe=""), f"{LOOPBACK}:{free_port()}")

    for url in (wrong, closed, wrong.replace("redis://", "rediss://"), wrong.replace("redis://", "redis+cluster://")):
        with pytest.raises(
            (BrokerUnavailableError, ConfigurationError)
        ) as raised:  # addresses of several servers do not accept ?password
            BizzMQ(url)
        assert_clean("".join(traceback.format_exception(raised.type, raised.value, raised.tb)), f"the error of {form}")


@pytest.mark.parametrize(
    "url",
    [
        "redis://:canary/x@h", "redis://:canary?x@h", "redis://:canary#x@h", "redis:///:canary@h", "redis://:canary@h:x",
        "redis://:canary@h/x", "http://:canary@h", "redis://:canary@h?nothing=1", "redis://:[canary]@127.0.0.1:1",
        "redis+sentinel://:canary@h", "redis+cluster://:canary@h/7", "redis+x://:canary@h",
        "redis+sentinel://h/s?sentinel_password=canary&x=1", "rediss://:canary@h?ssl_ca_certs=/nowhere",
        "redis://canary@h:x", "redis://canary:@h:x", "redis://h?pasword=canary", "redis://h?canary", "redis://:canary",
        "redis://me:canary", "redis+cluster://:canary", "redis+cluster://h?password=canary",
        "redis+sentinel://h/s?password=canary", "embedded://:canary@h", "embedded://canary@h/d",
        "embedded:///d?password=canary", "embedded://[canary", "embedded://a\u2100:canary@h",
    ],
)  # fmt: skip
def test_no_refused_address_shows_a_secret(url: str) -> None:
    with pytest.raises((ConfigurationError, BrokerUnavailableError)) as raised:  # Python before 3.11 accepts brackets
        BizzMQ(url)

    assert_clean("".join(traceback.format_exception(raised.type, raised.value, raised.tb)), "the error")


def test_no_repr_shows_a_secret() -> None:
    encoded = quote(CANARY, safe="")
    sentinels = f"redis+sentinel://:{encoded}@{LOOPBACK}:1/service?sentinel_password=canary"
    cluster = f"redis+cluster://:{encoded}@{LOOPBACK}:1"
    url = f"redis://me:{encoded}@{LOOPBACK}:1"
    config = WorkerConfig("tasks:handler", redis_url=url, health_token=TOKEN, signing_keys=[KEY])

    for shown in (
        Connection(url), SentinelConnection(sentinels), ClusterConnection(cluster), group_url.parse(sentinels),
        group_url.parse(cluster), Broker(Connection(url)), config, Signer([KEY]),
    ):  # fmt: skip
        assert_clean(f"{shown!r} {shown}", type(shown).__name__)


def port_of(pool: Pool) -> int:
    pattern = r"health port open.*?port\D+(\d+)"
    return int(eventually(lambda: re.findall(pattern, pool.log()), PATIENCE_S, pool.log)[0])


def health_replies(port: int, token: str) -> str:
    """All replies of the health port."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30.0)
    connection.request("GET", "/ready", headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    text = f"{response.status} {response.headers} {response.read().decode()}"
    connection.close()
    return text


@pytest.mark.usually(1)
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_pool_and_the_commands_show_no_secret(
    guarded: RedisServer,
    start_pool: Callable[..., Pool],
    ledger: Ledger,
    runtime: Path,
    environment: dict[str, str],
    style: str,
) -> None:
    url = url_of(guarded)
    settings: Any = {**ENVIRONMENT, **environment, "BIZZMQ_REDIS_URL": url}
    options = ["--log-level=debug", f"--log-format={style}", "--health-port=0", "--health-host=0.0.0.0"]
    pool = start_pool(url, url_in_env=True, args=options, env=ENVIRONMENT, concurrency=1)
    reported: list[str] = []

    def command(*words: str, module: str = OPERATOR, code: int = 0) -> None:
        ended: Finished = run(module, *words, **settings)
        assert ended.code == code, (words, ended)
        reported.append(ended.out + ended.err)

    eventually(lambda: status_of(socket_of(pool, runtime))["working"] == 1, PATIENCE_S, pool.log, (Exception,))
    command("publish", "q", '{"do": "raise"}', "--retries=0")
    command("publish", "q", '{"do": "os_exit"}', "--retries=0")
    with BizzMQ(url) as mq:
        mq.publish_message_to_queue("q", "not signed")
        eventually(lambda: mq.stats("q").dead_lettered == 3, PATIENCE_S, pool.log)
    for words in ("queues", "dlq list q", "dlq show q", "pool", "pool --json", "audit q"):
        command(*words.split())
    command("publish", "nowhere", "{}", code=1)
    command("--check=ready", module=WORKER)
    reported += [
        health_replies(port_of(pool), TOKEN),
        health_replies(port_of(pool), "guess"),
        str(status_of(socket_of(pool, runtime))),
    ]
    reported += [word for process in pool.living() for word in process.cmdline()]
    pool.signal(signal.SIGUSR1)
    log_says(pool, "worker stack")
    with guarded.client() as admin:
        assert_clean(everything(admin), "Redis")
        admin.config_set("requirepass", "another")
        admin.client_kill_filter(_type="normal", skipme=True)
    log_says(pool, "Redis is unavailable", times=2)
    guarded.kill()
    command("queues", code=1)
    pool.signal(signal.SIGTERM)
    assert pool.wait(PATIENCE_S) == 0

    assert_clean("\n".join(reported), "what was said")
    assert_clean(pool.log(), "the log")
