"""The URL of a server: what it may contain, and the options of the connection that it describes."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Callable, Mapping
from urllib.parse import parse_qs, urlsplit

import redis
from redis import exceptions
from redis.connection import parse_url as _untyped_parse_url

from bizzmq.connection import group_url
from bizzmq.errors import ConfigurationError
from bizzmq.utils.redaction import scheme_and_host

SCHEMES = ("redis", "rediss", "unix")
_OPTIONS = ("db", "username", "password", "client_name")
_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TLS_OPTIONS = (*_TLS_FILES, "ssl_ca_path", "ssl_cert_reqs", "ssl_check_hostname")
_IGNORED_OPTIONS = (
    "socket_timeout", "socket_connect_timeout", "socket_keepalive", "retry_on_timeout", "retry_on_error",
    "max_connections", "health_check_interval", "protocol", "decode_responses", "encoding", "encoding_errors",
    "timeout",
)  # fmt: skip
"""Options that a URL may contain because other programs use it, too. BizzMQ chooses these values itself."""


class _OptionError(ValueError):
    """An invalid option. The text repeats nothing of the URL."""


_parse_url: Callable[[str], Mapping[str, Any]] = _untyped_parse_url  # redis-py has no types for it


def check_url(url: str) -> str:
    """The URL itself, if it is a valid URL of one Redis server or of several.

    Raises:
        ConfigurationError: it is invalid; the text does not repeat a password.
    """
    if group_url.is_group(str(url)):
        group = group_url.parse(url)
        for node in group.nodes:
            _check_one(group.server_url(node), url, group_url.EXAMPLES[group.kind])
        return url
    if urlsplit(str(url).partition("//")[0]).scheme not in SCHEMES:
        raise ConfigurationError(
            f"bad Redis URL {scheme_and_host(str(url))!r}: it must begin with redis://, rediss://, unix://, "
            "redis+sentinel://, redis+cluster:// or embedded://"
        )
    _check_one(url, url, "redis://:PASSWORD@HOST:PORT/DB")
    return url


def _check_one(url: str, given: str, example: str) -> None:
    """Check the URL of one server; `given` is the URL that the user wrote."""
    try:
        parts = urlsplit(url)
        _parse_url(url).get("host", "").encode("idna")  # as each opening does; it refuses invalid host names
        if parts.port == 0:  # reading the port checks it; a client library takes 0 for the default
            raise ValueError("there is no port 0")
        if parts.scheme != "unix" and not re.fullmatch("/?[0-9]*/?", parts.path):
            raise ValueError("the path is not a database number")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("the path of the socket is missing")
        if "@" in parts.query + parts.fragment:
            raise ValueError("a password with ? or # in it ended the URL before its host")
    except (ValueError, TypeError, AttributeError):  # their texts may repeat a piece of the password
        hint = f"write {example}, with / ? # @ in the password percent-encoded"
        raise ConfigurationError(f"bad Redis URL {scheme_and_host(str(given))!r}: {hint}") from None
    try:
        factory, options = arguments(url)
        factory(**options)
    except (ValueError, TypeError, exceptions.RedisError) as error:  # these are about options only
        raise ConfigurationError(f"bad Redis URL {scheme_and_host(str(given))!r}: {_option_problem(error)}") from None


def arguments(url: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The class of the connection and its arguments. Raises ValueError."""
    query = urlsplit(url).query
    if re.search("[^!-~]", "".join(parse_qs(query).get("client_name", []))):
        raise _OptionError("client_name takes letters, digits and signs, no spaces")
    if any("=" not in option for option in query.split("&") if option):
        raise _OptionError("an option has no value; write ?NAME=VALUE, with & between several")
    for name in parse_qs(query, keep_blank_values=True):
        if name not in _OPTIONS and name not in _IGNORED_OPTIONS and not name.startswith("ssl_"):
            raise _OptionError(_unknown_option(name))
    options = {name: value for name, value in _parse_url(url).items() if name not in _IGNORED_OPTIONS}
    factory = options.pop("connection_class", redis.Connection)
    if factory is redis.SSLConnection:
        options = with_verified_host(options)
    return factory, options


def with_verified_host(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a TLS connection that verifies the host name whenever it verifies the certificate.

    Older versions of redis-py accept a valid certificate of any host.

    Raises:
        ValueError: a file that the options name does not exist; the text names the option.
    """
    for name in _TLS_FILES:
        path = options.get(name)
        if path is not None and not Path(path).is_file():
            raise ValueError(f"{name} names no file")
    verifies = options.get("ssl_cert_reqs") != "none"
    return {"ssl_check_hostname": verifies, **options}


def _unknown_option(name: str) -> str:
    """The error text for an unknown option. It does not repeat the name, which may be part of a secret."""
    near = difflib.get_close_matches(name, (*_OPTIONS, *_IGNORED_OPTIONS, *_TLS_OPTIONS), 1, 0.8)
    return "there is no such option" + (f"; do you mean {near[0]}?" if near else f"; there are {', '.join(_OPTIONS)}")


def _option_problem(error: Exception) -> str:
    """What is wrong with an option. redis-py's own text is not used, because it may repeat a value."""
    if isinstance(error, _OptionError) or re.fullmatch("ssl_[a-z_]+ names no file", str(error)):
        return str(error)
    unknown = re.search("unexpected keyword argument '(.*)'", str(error))
    if unknown:
        return _unknown_option(unknown[1])
    if "Certificate Requirements" in str(error):
        return "ssl_cert_reqs cannot have this value"
    known = [name for name in (*_OPTIONS, *_IGNORED_OPTIONS, *_TLS_OPTIONS) if re.search(rf"\b{name}\b", str(error))]
    return f"{known[0]} cannot have this value" if known else "an option cannot have this value"
