"""Addresses of several servers, and the errors for invalid ones."""

from __future__ import annotations

import pytest

from bizzmq import BizzMQ, BrokerUnavailableError, ConfigurationError
from bizzmq.connection.group_url import Node, parse
from bizzmq.connection.url import check_url
from bizzmq.testing.ports import LOOPBACK, free_port
from bizzmq.testing.server import RedisServer
from bizzmq.utils.redaction import redact

SECRET = "canary-secret"


@pytest.mark.parametrize(
    ("url", "nodes", "service", "server_url"),
    [
        ("redis+sentinel://a/s", [("a", 26379)], "s", "redis://h:1/0"),
        ("redis+sentinel://a:1,b:2,c:3/s/7", [("a", 1), ("b", 2), ("c", 3)], "s", "redis://h:1/7"),
        ("rediss+sentinel://u:p%40@a:1/my%20s", [("a", 1)], "my s", "rediss://u:p%40@h:1/0"),
        ("redis+sentinel://a:1,[::1]:2/s", [("a", 1), ("::1", 2)], "s", "redis://h:1/0"),
        ("rediss+sentinel://a/s?ssl_cert_reqs=required", [("a", 26379)], "s", "rediss://h:1/0?ssl_cert_reqs=required"),
        ("redis+cluster://a,b:7000", [("a", 6379), ("b", 7000)], "", "redis://h:1/0"),
        ("rediss+cluster://:p@a/0?ssl_cert_reqs=none", [("a", 6379)], "", "rediss://:p@h:1/0?ssl_cert_reqs=none"),
    ],
)
def test_an_address_names_servers_and_their_shared_settings(
    url: str, nodes: list[tuple[str, int]], service: str, server_url: str
) -> None:
    group = parse(check_url(url))

    assert list(group.nodes) == nodes
    assert group.service == service
    assert group.server_url(Node("h", 1)) == server_url


def test_the_sentinels_have_credentials_of_their_own() -> None:
    group = parse("redis+sentinel://u:p@a/s?sentinel_username=w&sentinel_password=x%2Fy&ssl_cert_reqs=none")

    assert group.sentinel_url(Node("a", 1)) == "redis://w:x%2Fy@a:1/0?ssl_cert_reqs=none"
    assert group.server_url(Node("b", 2)) == "redis://u:p@b:2/0?ssl_cert_reqs=none"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"redis+sentinel://:{SECRET}@a:1", "the name of the service"),
        (f"redis+sentinel://:{SECRET}@a:1/", "the name of the service"),
        (f"redis+sentinel://:{SECRET}@a:1/s/x", "the number of a database"),
        (f"redis+sentinel://:{SECRET}@a:1/s/1/2", "the name of the service"),
        (f"redis+sentinel://:{SECRET}@/s", "it must name hosts"),
        (f"redis+sentinel://:{SECRET}@a:1,,b:1/s", "it must name hosts"),
        (f"redis+sentinel://:{SECRET}@a:65536/s", "a port is a number"),
        (f"redis+sentinel://:{SECRET}@a:b/s", "a host is invalid"),
        (f"redis+sentinel://:{SECRET}/x@a:1/s", "percent-encoded"),
        (f"redis+sentinel://:{SECRET}@a/s?sentinel_password={SECRET}#x", "it cannot be read"),
        (f"redis+sentinel://:{SECRET}@a/s?socket_timeout=x", "redis+sentinel://:PASSWORD@HOST"),
        (f"redis+cluster://:{SECRET}@a:1/1", "only the database 0"),
        (f"redis+cluster://:{SECRET}@a:1?sentinel_password=x", "no sentinels"),
        (f"redis+nothing://:{SECRET}@a:1", "sentinel or cluster"),
        (f"redis+sentinel://a:1/s?password={SECRET}", "password is not an option here"),
        (f"redis+sentinel://a:1/s?pass%77ord={SECRET}", "password is not an option here"),
        (
            f"redis+sentinel://a:1/s?ssl_cert_reqs=none&username=me&sentinel_password={SECRET}",
            "username is not an option",
        ),
        ("redis+sentinel://a:1/s/1?db=2", "db is not an option here"),
        (f"redis+cluster://a:1?password={SECRET}", "password is not an option here"),
        ("redis+cluster://a:1?username=me", "username is not an option here"),
        ("redis+cluster://a:1?db=0", "only the database 0"),
        (f"redis+cluster://:{SECRET}", "a host is invalid"),
        (f"redis+cluster://a:1,user:{SECRET}", "a host is invalid"),
    ],
)
def test_an_invalid_address_is_refused_with_an_example_and_no_secret(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        BizzMQ(url)

    text = str(refused.value)
    assert says in text
    assert "\n" not in text
    assert SECRET not in text + redact(url)
    assert ("write redis+" in text) == ("nothing" not in url)


@pytest.mark.parametrize("kind", ["redis+sentinel://{hosts}/s", "redis+cluster://{hosts}"])
def test_servers_that_do_not_answer_are_named_in_one_line(kind: str) -> None:
    hosts = [f"{LOOPBACK}:{free_port()}" for _ in range(2)]

    with pytest.raises(BrokerUnavailableError) as refused:
        BizzMQ(kind.format(hosts=",".join(hosts)))

    assert all(host in str(refused.value) for host in hosts)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("redis+sentinel://{host}/s", "unknown command"),
        ("redis+cluster://{host}", "is not a node of a cluster: This instance has cluster support disabled"),
    ],
)
def test_a_plain_server_is_neither_a_sentinel_nor_a_node(server: RedisServer, kind: str, says: str) -> None:
    with pytest.raises(BrokerUnavailableError, match=says) as refused:
        BizzMQ(kind.format(host=f"{server.host}:{server.port}"))

    assert f"{server.host}:{server.port}" in str(refused.value)
