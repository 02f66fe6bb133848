"""URLs of several servers: `redis+sentinel://` and `redis+cluster://`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote

from bizzmq.errors import ConfigurationError
from bizzmq.utils.redaction import scheme_and_host

SENTINEL, CLUSTER = "sentinel", "cluster"
EXAMPLES = {
    SENTINEL: "redis+sentinel://:PASSWORD@HOST:26379,HOST:26379/SERVICE/DB",
    CLUSTER: "redis+cluster://:PASSWORD@HOST:6379,HOST:6379",
}
_DEFAULT_PORTS = {SENTINEL: 26379, CLUSTER: 6379}
_KIND = re.compile(r"rediss?\+([a-z]+):")
_GROUP = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://"
    r"(?:(?P<userinfo>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)(?P<path>/[^?#@]*)?(?:\?(?P<query>[^#@]*))?"
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s,]+)(?::([0-9]{1,5}))?")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_REFUSED_OPTIONS = {"username", "password", "db"}
"""They have a place of their own in the URL. As options they would reach the sentinels, or override it."""


class Node(NamedTuple):
    """The address of a server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class ServerGroup:
    """The content of the URL of several servers.

    Attributes:
        kind: SENTINEL or CLUSTER.
        nodes: the sentinels, or some nodes of the cluster.
        service: the name of the master at the sentinels; "" for a cluster.
    """

    kind: str
    nodes: tuple[Node, ...]
    service: str
    _scheme: str
    _userinfo: str = field(repr=False)
    _database: str
    _query: str = field(repr=False)
    _sentinel_userinfo: str = field(repr=False)

    def server_url(self, node: Node) -> str:
        """The URL of one server that holds data, with the credentials and options of the group."""
        return self._url(node, self._userinfo, self._database)

    def sentinel_url(self, node: Node) -> str:
        """The URL of one sentinel, with the sentinels' own credentials."""
        return self._url(node, self._sentinel_userinfo, "0")

    def _url(self, node: Node, userinfo: str, database: str) -> str:
        at = f"{userinfo}@" if userinfo else ""
        return f"{self._scheme}://{at}{node}/{database}" + (f"?{self._query}" if self._query else "")


def is_group(url: str) -> bool:
    """Whether this is the URL of several servers, valid or not."""
    return _KIND.match(url) is not None


def parse(url: str) -> ServerGroup:
    """Read the URL of several servers.

    Raises:
        ConfigurationError: it is invalid. The text has an example, and no password.
    """
    named = _KIND.match(url)
    kind = named.group(1) if named else ""
    if kind not in EXAMPLES:
        raise ConfigurationError(f"bad Redis URL {scheme_and_host(url)!r}: after the + write sentinel or cluster")
    match = _GROUP.fullmatch(url)
    if match is None:
        raise _bad(url, kind, "it cannot be read; / ? # @ in a password have to be percent-encoded")
    nodes = tuple(_node(url, kind, text) for text in match["hosts"].split(","))
    service, database = _path(url, kind, (match["path"] or "").strip("/"))
    _check_options(url, kind, match["query"] or "")
    options = [option for option in (match["query"] or "").split("&") if option]
    own = {name: unquote(value) for name, _, value in (option.partition("=") for option in options)}
    user, password = (own.get(name, "") for name in _SENTINEL_OPTIONS)
    rest = [option for option in options if option.partition("=")[0] not in _SENTINEL_OPTIONS]
    if kind == CLUSTER and len(rest) < len(options):
        raise _bad(url, kind, "a cluster has no sentinels")
    return ServerGroup(
        kind=kind,
        nodes=nodes,
        service=service,
        _scheme=match["scheme"],
        _userinfo=match["userinfo"] or "",
        _database=database,
        _query="&".join(rest),
        _sentinel_userinfo=f"{quote(user, safe='')}:{quote(password, safe='')}" if user or password else "",
    )


def _check_options(url: str, kind: str, query: str) -> None:
    misplaced = _REFUSED_OPTIONS & set(parse_qs(query, keep_blank_values=True))
    if "db" in misplaced and kind == CLUSTER:
        raise _bad(url, kind, "a cluster has only the database 0")
    if misplaced:
        raise _bad(url, kind, f"{min(misplaced)} is not an option here, it has a place of its own")


def _node(url: str, kind: str, text: str) -> Node:
    match = _HOST.fullmatch(text)
    if match is None:
        what = "a host is invalid" if text else "it must name hosts, with commas between them"
        raise _bad(url, kind, what)
    port = int(match[2]) if match[2] else _DEFAULT_PORTS[kind]
    if not 0 < port < 65536:
        raise _bad(url, kind, "a port is a number from 1 to 65535")
    return Node(match[1].strip("[]"), port)


def _path(url: str, kind: str, path: str) -> tuple[str, str]:
    """The service and the database."""
    parts = path.split("/") if path else []
    if kind == CLUSTER:
        if parts not in ([], ["0"]):
            raise _bad(url, kind, "a cluster has only the database 0")
        return "", "0"
    if not parts or len(parts) > 2 or not parts[0]:
        raise _bad(url, kind, "after the sentinels write the name of the service")
    database = parts[1] if len(parts) > 1 else "0"
    if not re.fullmatch("[0-9]{1,5}", database):
        raise _bad(url, kind, "after the service write the number of a database")
    return unquote(parts[0]), database


def _bad(url: str, kind: str, what: str) -> ConfigurationError:
    return ConfigurationError(f"bad Redis URL {scheme_and_host(url)!r}: {what}; write {EXAMPLES[kind]}")
