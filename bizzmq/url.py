"""Reading the address of a server: what it may say, and what a connection is made of then."""

from __future__ import annotations

import difflib
import re
from typing import Any, Callable, Mapping
from urllib.parse import parse_qs, urlsplit

import redis
from redis import exceptions
from redis.connection import parse_url as _untyped_parse_url

from bizzmq import address, tls
from bizzmq.errors import ConfigurationError
from bizzmq.redaction import scheme_and_host

SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = ("db", "username", "password", "client_name")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OTHERS_OPTIONS = (
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "retry_on_timeout", "retry_on_error",
    "max_connections", "health_check_interval", "protocol", "decode_responses", "encoding", "encoding_errors",
    "timeout",
)  # fmt: skip
"""Options that an address shared with other programs may have, and that are ours to decide."""


class _OptionError(ValueError):
    """An option that an address cannot have. The text repeats nothing of the address."""


_parse_url: Callable[[str], Mapping[str, Any]] = _untyped_parse_url  # redis-py has no types for it


def check_url(url: str) -> str:
    """The URL itself, if it can be one of a Redis server, or of several.

    Raises:
        ConfigurationError: it cannot; the text does not repeat a password.
    """
    if address.is_group(str(url)):
        group = address.parse(url)
        for node in group.nodes:
            _check_one(group.server_url(node), url, address.EXAMPLES[group.kind])
        return url
    if urlsplit(str(url).partition("//")[0]).scheme not in SCHEMES:
        raise ConfigurationError(
            f"bad Redis URL {scheme_and_host(str(url))!r}: it must begin with redis://, rediss://, unix://, "
            "redis+sentinel://, redis+cluster:// or embedded://"
        )
    _check_one(url, url, "redis://:PASSWORD@HOST:PORT/DB")
    return url


def _check_one(url: str, given: str, example: str) -> None:
    """Refuse what cannot be the address of one server; `given` is what the user wrote."""
    try:
        parts = urlsplit(url)
        _parse_url(url).get("host", "").encode("idna")  # as each opening does, which refuses what is no name of a host
        if parts.port == 0:  # reading it checks the rest; a client library takes 0 for the default
            raise ValueError("there is no port 0")
        if parts.scheme != "unix" and not re.fullmatch("/?[0-9]*/?", parts.path):
            raise ValueError("the path is no database number")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("there is no path of a socket")
        if "@" in parts.query + parts.fragment:
            raise ValueError("a password with ? or # in it ended the address before its host")
    except (ValueError, TypeError, AttributeError):  # their texts may repeat a piece of the password
        hint = f"write {example}, with / ? # @ in the password percent-encoded"
        raise ConfigurationError(f"bad Redis URL {scheme_and_host(str(given))!r}: {hint}") from None
    try:
        factory, options = arguments(url)
        factory(**options)
    except (ValueError, TypeError, exceptions.RedisError) as error:  # these are about options only
        raise ConfigurationError(f"bad Redis URL {scheme_and_host(str(given))!r}: {_about_options(error)}") from None


def arguments(url: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """What makes a connection, and what the address says to it. Raises ValueError."""
    query = urlsplit(url).query
    if re.search("[^!-~]", "".join(parse_qs(query).get("client_name", []))):
        raise _OptionError("client_name takes letters, digits and signs, no spaces")
    if any("=" not in option for option in query.split("&") if option):
        raise _OptionError("an option has no value; write ?NAME=VALUE, with & between several")
    for name in parse_qs(query, keep_blank_values=True):
        if name not in _OPTIONS and name not in _OTHERS_OPTIONS and not name.startswith("ssl_"):
            raise _OptionError(_no_option(name))
    options = {name: value for name, value in _parse_url(url).items() if name not in _OTHERS_OPTIONS}
    factory = options.pop("connection_class", redis.Connection)
    if factory is redis.SSLConnection:
        options = tls.verifying(options)
    return factory, options


def _no_option(name: str) -> str:
    """What to write instead; the name itself may be a secret."""
    near = difflib.get_close_matches(name, (*_OPTIONS, *_OTHERS_OPTIONS, *_TLS_OPTIONS), 1, 0.8)
    return "there is no such option" + (f"; do you mean {near[0]}?" if near else f"; there are {', '.join(_OPTIONS)}")


def _about_options(error: Exception) -> str:
    """The client library's own words may repeat a value."""
    if isinstance(error, _OptionError) or re.fullmatch("ssl_[a-z_]+ names no file", str(error)):
        return str(error)
    unknown = re.search("unexpected keyword argument '(.*)'", str(error))
    if unknown:
        return _no_option(unknown[1])
    if "Certificate Requirements" in str(error):
        return "ssl_cert_reqs cannot have this value"
    known = [name for name in (*_OPTIONS, *_OTHERS_OPTIONS, *_TLS_OPTIONS) if re.search(rf"\b{name}\b", str(error))]
    return f"{known[0]} cannot have this value" if known else "an option cannot have this value"
