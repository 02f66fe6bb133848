"""`rediss://` verifies the certificate and the host's name, for clients, the command and pools alike."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator
from urllib.parse import quote

import pytest

from bizzmq import AsyncBizzMQ, BizzMQ, BrokerUnavailableError, ConfigurationError
from bizzmq.errors import BrokerRefusesError
from bizzmq.testing import invariants
from bizzmq.testing.binaries import server_binary
from bizzmq.testing.ledger import Ledger
from bizzmq.testing.pool import Pool
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.testing.wait import eventually
from tests.faults.scene import PATIENCE_S
from tests.pool.command import OPERATOR, WORKER, refused, run
from tests.support.certificates import Authority, Certificate, can_make


class TlsServer:
    """A server with a certificate, and its addresses for clients with different trust settings."""

    def __init__(self, files: Path, certificate: Certificate, ask_clients: bool) -> None:
        self.port = free_port()
        lines = [
            f"tls-port {self.port}",
            f"tls-cert-file {certificate.certificate}",
            f"tls-key-file {certificate.key}",
            f"tls-ca-cert-file {files / 'authority.pem'}",
            f"tls-auth-clients {'yes' if ask_clients else 'no'}",
        ]
        self._server = _start(lines)
        self.close = self._server.close

    def url(self, *options: str) -> str:
        return f"rediss://{LOOPBACK}:{self.port}/0" + ("?" + "&".join(options) if options else "")


def _start(lines: list[str]) -> RedisServer:
    """Start the first installed server that supports TLS."""
    for binary in dict.fromkeys((server_binary(), shutil.which("redis-server"), shutil.which("valkey-server"))):
        if binary is not None:
            with contextlib.suppress(RuntimeError):
                return RedisServer(config=lines, binary=binary)
    pytest.skip("no server that is built with TLS")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not can_make():
        pytest.skip("no openssl command, which makes the certificates")
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(files: Path) -> Authority:
    return Authority(files)


@pytest.fixture(scope="module")
def trusted(authority: Authority) -> str:
    """The URL option that trusts the test's authority."""
    return f"ssl_ca_certs={quote(str(authority.certificate))}"


@pytest.fixture(scope="module")
def here(files: Path, authority: Authority) -> Iterator[TlsServer]:
    """A server with a certificate for its own address."""
    server = TlsServer(files, authority.issue("here", f"IP:{LOOPBACK}"), ask_clients=False)
    yield server
    server.close()


@pytest.fixture(scope="module")
def elsewhere(files: Path, authority: Authority) -> Iterator[TlsServer]:
    """A server with a valid certificate of another host."""
    server = TlsServer(files, authority.issue("elsewhere", "DNS:redis.example"), ask_clients=False)
    yield server
    server.close()


@pytest.fixture
def untrusted(request: pytest.FixtureRequest, here: TlsServer, elsewhere: TlsServer, trusted: str) -> str:
    """An address whose server must not be trusted."""
    return {"unknown authority": here.url(), "another host": elsewhere.url(trusted)}[request.param]


who_is_untrusted = pytest.mark.parametrize("untrusted", ["unknown authority", "another host"], indirect=True)


@who_is_untrusted
def test_a_client_refuses_a_server_that_it_cannot_verify(untrusted: str) -> None:
    with pytest.raises(BrokerUnavailableError, match="CERTIFICATE_VERIFY_FAILED") as raised:
        BizzMQ(untrusted)

    assert isinstance(raised.value, BrokerRefusesError)


@who_is_untrusted
def test_the_command_reports_that_in_one_line(untrusted: str) -> None:
    assert "certificate verify failed" in refused(OPERATOR, f"--redis-url={untrusted}", "queues")


@who_is_untrusted
def test_a_pool_logs_that_once_and_does_not_wait(untrusted: str, pool_factory: Callable[..., Pool]) -> None:
    pool = pool_factory(untrusted, concurrency=1)

    assert pool.wait() == 2
    assert "CERTIFICATE_VERIFY_FAILED" in pool.log()
    invariants.check_log(pool.log())


def test_everything_works_with_the_right_authority(
    here: TlsServer, trusted: str, pool_factory: Callable[..., Pool], ledger: Ledger
) -> None:
    url = here.url(trusted)
    with BizzMQ(url) as mq:
        mq.create_queue("q")
        published = mq.publish_message_to_queue("q", {})
    (by_command,) = run(OPERATOR, f"--redis-url={url}", "publish", "q", "{}").lines()

    pool_factory(url, concurrency=1)

    eventually(lambda: {published, by_command} <= set(ledger.handled()), PATIENCE_S)


def test_verification_is_off_only_if_the_address_says_so(here: TlsServer, elsewhere: TlsServer) -> None:
    for server in (here, elsewhere):
        with BizzMQ(server.url("ssl_cert_reqs=none")) as mq:
            mq.create_queue("unverified")


def test_a_client_can_show_a_certificate_of_its_own(files: Path, authority: Authority, trusted: str) -> None:
    server = TlsServer(files, authority.issue("strict", f"IP:{LOOPBACK}"), ask_clients=True)
    own = authority.issue("worker", "DNS:worker.example")
    try:
        with pytest.raises(BrokerUnavailableError):
            BizzMQ(server.url(trusted))
        shown = (f"ssl_certfile={quote(str(own.certificate))}", f"ssl_keyfile={quote(str(own.key))}")
        with BizzMQ(server.url(trusted, *shown)) as mq:
            assert mq.create_queue("q")
    finally:
        server.close()


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs names no file"),
        ("ssl_ca_cert=/ca.pem", "do you mean ssl_ca_certs"),
        ("ssl_cert_reqs=perhaps", "ssl_cert_reqs cannot have this value"),
    ],
)
def test_a_wrong_option_is_one_line_and_nothing_is_started(option: str, complaint: str) -> None:
    url = f"rediss://:canary@{LOOPBACK}:1/0?{option}"

    with pytest.raises(ConfigurationError, match=complaint):
        BizzMQ(url)
    lines = [refused(OPERATOR, f"--redis-url={url}", "queues"), refused(WORKER, f"--redis-url={url}", "tasks:handler")]
    assert all(complaint in line and "canary" not in line for line in lines), lines


def test_a_server_without_tls_is_an_outage(url: str) -> None:
    with pytest.raises(BrokerUnavailableError) as raised:
        BizzMQ(url.replace("redis://", "rediss://"))

    assert "\n" not in str(raised.value)


def test_a_client_without_tls_is_an_outage(here: TlsServer) -> None:
    with pytest.raises(BrokerUnavailableError):
        BizzMQ(here.url().replace("rediss://", "redis://"))


def test_the_host_name_is_verified_by_every_version_of_the_client_library() -> None:
    from bizzmq.connection.url import with_verified_host

    assert with_verified_host({})["ssl_check_hostname"]
    assert with_verified_host({"ssl_cert_reqs": "required"})["ssl_check_hostname"]
    assert not with_verified_host({"ssl_cert_reqs": "none"})["ssl_check_hostname"]
    given: Any = {"ssl_check_hostname": False}
    assert not with_verified_host(given)["ssl_check_hostname"]


async def _published(url: str) -> int:
    async with AsyncBizzMQ(url) as amq:
        await amq.create_queue("async")
        await amq.publish_messages_to_queue("async", ["x" * 2000] * 3000)  # many records of TLS
        await amq.publish_message_to_queue("async", "x" * 1_000_000)
        return (await amq.stats("async")).published


@who_is_untrusted
def test_an_async_client_refuses_a_server_that_it_cannot_verify(untrusted: str) -> None:
    with pytest.raises(BrokerUnavailableError, match=r"(?i)certificate.verify.failed") as raised:
        asyncio.run(_published(untrusted))

    assert isinstance(raised.value, BrokerRefusesError)


def test_an_async_client_works_with_the_right_authority(here: TlsServer, trusted: str) -> None:
    assert asyncio.run(_published(here.url(trusted))) == 3001


def test_an_async_client_skips_verification_only_if_the_address_says_so(elsewhere: TlsServer) -> None:
    assert asyncio.run(_published(elsewhere.url("ssl_cert_reqs=none"))) == 3001


def test_an_async_client_can_show_a_certificate_of_its_own(files: Path, authority: Authority, trusted: str) -> None:
    own = authority.issue("async-client", "DNS:client.example")
    server = TlsServer(files, authority.issue("async-strict", f"IP:{LOOPBACK}"), ask_clients=True)
    try:
        with pytest.raises(BrokerUnavailableError):
            asyncio.run(_published(server.url(trusted)))
        shown = f"ssl_certfile={quote(str(own.certificate))}", f"ssl_keyfile={quote(str(own.key))}"
        assert asyncio.run(_published(server.url(trusted, *shown))) == 3001
    finally:
        server.close()


def test_an_async_client_of_a_server_without_tls_says_so(url: str) -> None:
    with pytest.raises(BrokerUnavailableError):
        asyncio.run(_published(url.replace("redis://", "rediss://")))
