"""Features of the server under test: a test that needs a missing one is skipped, with the reason."""

from __future__ import annotations

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from bizzmq.testing.layout import command


def need_acl(redis: Redis) -> None:
    """Users and permissions came with Redis 6."""
    _need(redis, "access control lists", "ACL", "WHOAMI")


def need_dry_run(redis: Redis) -> None:
    """ACL DRYRUN came with Redis 7."""
    _need(redis, "ACL DRYRUN", "ACL", "DRYRUN", "default", "PING")


def need_pause_modes(redis: Redis) -> None:
    """Before Redis 6.2 a pause stops all commands and takes no mode."""
    _need(redis, "CLIENT PAUSE with a mode", "CLIENT", "PAUSE", 0, "ALL")


def need_setting(redis: Redis, name: str) -> None:
    """A setting with which an older server does not start."""
    if not redis.config_get(name):
        pytest.skip(f"this server ({version(redis)}) has no setting {name}")


def need_replicas_for_scripts(redis: Redis) -> None:
    """Before Redis 7 `min-replicas-to-write` does not reject the writes of scripts. Needs a private server."""
    redis.config_set("min-replicas-to-write", 1)
    try:
        command(redis, "EVAL", "return redis.call('SET', KEYS[1], 1)", 1, "probe")
    except ResponseError:
        return
    finally:
        redis.config_set("min-replicas-to-write", 0)
    pytest.skip(f"this server ({version(redis)}) lets scripts write without the required replicas")


def need_waitaof(redis: Redis) -> None:
    """WAITAOF came with Redis 7.2."""
    _need(redis, "WAITAOF", "WAITAOF", 0, 0, 0)


def version(redis: Redis) -> str:
    """Name and version of the server, for people."""
    info = redis.info("server")
    return f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"


def _need(redis: Redis, what: str, *words: str | int) -> None:
    try:
        command(redis, *words)
    except ResponseError:
        pytest.skip(f"this server ({version(redis)}) has no {what}")
