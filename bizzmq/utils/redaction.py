"""URLs without their secrets, also malformed ones."""

from __future__ import annotations

import re

_HIDDEN = "***"
_KNOWN = re.compile(r"(?:rediss?(?:\+(?:sentinel|cluster))?|unix|embedded)://", re.IGNORECASE)
_NAMED = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_IN_TEXT = re.compile(r"((?<![A-Za-z0-9+.-])[A-Za-z0-9+.-]+://)(?!:PASSWORD@)\S*@")
_TAIL_IN_TEXT = re.compile(
    r"(rediss?(?:\+[a-z]+)?://[^\s'\"/?#;@]*)(?!/[0-9]*(?:[\s'\"]|$)|/(?:SERVICE/)?DB\b|/\*\*\*)[/?#;][^\s'\"]*"
)
_SCHEME = re.compile(r"[A-Za-z0-9+.-]*://|(?:unix|embedded):(?=/)", re.IGNORECASE)
_USER = re.compile(r"([A-Za-z0-9_.-]*):.+", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]|[^:\[\]/?#,]*)(:[0-9]{0,5})?")
_SHOWN_OPTIONS = (
    "db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname", "socket_timeout",
    "socket_connect_timeout", "socket_keepalive", "protocol",
)  # fmt: skip
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./-]*")
_SECRET_CHARACTERS = re.compile(r"[?#].*=", re.DOTALL)


def redact(url: str) -> str:
    """A URL without its secrets. Anything that could be a secret is hidden, too.

    The result contains the scheme, a user name if there is a password, the hosts with their ports, the path, and the
    options that never hold a secret.
    """
    match = _SCHEME.match(url)
    scheme = match.group() if match else ""
    userinfo, at, rest = url[len(scheme) :].rpartition("@")
    if _SECRET_CHARACTERS.search(userinfo):  # both parts may belong to a secret: ?password=one@two
        return f"{scheme}{_HIDDEN}"
    return f"{scheme}{_without_password(userinfo)}{at}{_after_userinfo(rest)}"


def scheme_and_host(url: str) -> str:
    """The scheme and hosts of a malformed URL: any other part can be a secret in the wrong place.

    The hosts are hidden, too, if it is not clear which part they are.
    """
    match = _KNOWN.match(url)
    if match is None:
        return _HIDDEN
    userinfo, at, rest = url[match.end() :].rpartition("@")
    hosts, end, _ = re.split("([/?#;&])", rest, maxsplit=1) if re.search("[/?#;&]", rest) else (rest, "", "")
    named = [_NAMED.fullmatch(host) for host in hosts.split(",")]
    has_hosts = match.group().lower().startswith("redis")
    if not has_hosts or re.search("[/?#@]", userinfo) or not all(named):
        return match.group() + _HIDDEN
    shown = ",".join(host[1] for host in named if host)
    return match.group() + (f"{_HIDDEN}@" if at else "") + shown + (f"/{_HIDDEN}" if end else "")


def without_addresses(text: str) -> str:
    """A text in which each URL is reduced to its scheme and host, because it may repeat what a user typed."""
    return _TAIL_IN_TEXT.sub(rf"\1/{_HIDDEN}", _IN_TEXT.sub(rf"\1{_HIDDEN}@", text))


def _without_password(text: str) -> str:
    user = _USER.fullmatch(text)
    return f"{user[1]}:{_HIDDEN}" if user else _HIDDEN if text else ""


def _after_userinfo(rest: str) -> str:
    """Hosts, path and options. If there is no valid port in its place, it and all that follows may be a password."""
    hosts = re.split("[/?#]", rest, maxsplit=1)[0]
    for text in hosts.split(","):
        if not _HOST.fullmatch(text):
            return _without_password(hosts)
    path, question, query = rest[len(hosts) :].partition("#")[0].partition("?")
    return hosts + path + question + "&".join(map(_option, query.split("&") if query else ()))


def _option(option: str) -> str:
    name, equals, value = option.partition("=")
    if name in _SHOWN_OPTIONS and _PLAIN_VALUE.fullmatch(value):
        return option
    shown = name if equals and re.fullmatch("[a-z_]{1,40}", name) else _HIDDEN
    return shown + (f"={_HIDDEN}" if equals else "")
