"""Checks of the server and of the connection to it."""

from __future__ import annotations

import hashlib
import re
import secrets
import statistics
import time
from typing import Iterator

from bizzmq.connection.error_mapping import NoScriptError
from bizzmq.doctor.findings import FULL, NEARLY_FULL, Finding, ServerFacts, fail, ok, warn
from bizzmq.doctor.server_info import REFUSED
from bizzmq.utils import clock

PINGS = 50
_OLDEST = (5, 0)
_SLOW_MS, _STALLED_MS = 5.0, 100.0
_SKEW_S = 1.0
_SCRIPT = "return ARGV[1]"
_SCRIPT_SHA1 = hashlib.sha1(_SCRIPT.encode()).hexdigest()  # noqa: S324 - Redis names scripts by SHA1


def version(facts: ServerFacts) -> Iterator[Finding]:
    """Whether BizzMQ supports this server."""
    info = facts.info("server")
    compatible = info.get("redis_version")
    if compatible is None:
        return
    is_valkey = info.get("server_name") == "valkey" or "valkey_version" in info
    name = f"Valkey {info.get('valkey_version', '')}" if is_valkey else f"Redis {compatible}"
    mode = info.get("redis_mode") or info.get("server_mode", "")
    if mode == "sentinel":
        yield fail("server", f"{name}: this is a Sentinel, which keeps no messages",
                   "use redis+sentinel://HOST:PORT/SERVICE, or the URL of the server itself")  # fmt: skip
    elif facts.version() < _OLDEST:
        yield fail("server", f"{name} is too old", "use Redis 5.0 or newer, or Valkey")
    else:
        yield ok("server", f"{name}, {mode}")


def cluster(facts: ServerFacts) -> Iterator[Finding]:
    """Whether the URL fits a cluster, and whether the cluster is complete."""
    enabled = facts.info("cluster").get("cluster_enabled")
    if enabled != "1":
        if enabled == "0" and facts.url_kind == "cluster":
            yield fail("cluster", "the URL is for a cluster, but this server is not part of one", "use redis://")
        return
    try:
        state = re.search(rb"cluster_state:(\w+)", facts.connection.execute("CLUSTER", "INFO"))
    except REFUSED as error:
        facts.refused["CLUSTER"] = str(error)
        state = None
    if state is not None and state[1] != b"ok":
        yield fail("cluster", f"the cluster's state is {state[1].decode()}: it does not serve all queues",
                   "redis-cli --cluster check HOST:PORT")  # fmt: skip
    elif facts.url_kind != "cluster":
        yield fail("cluster", "this is one node of a cluster, and serves only the queues of its own slots",
                   "use redis+cluster://HOST:PORT,HOST:PORT")  # fmt: skip
    else:
        yield ok("cluster", "the cluster's state is ok; these findings are about one of its nodes")


def latency(facts: ServerFacts) -> Iterator[Finding]:
    """How long a round trip takes."""
    times_ms = []
    for _ in range(PINGS):
        begun_s = clock.monotonic()
        try:
            facts.connection.execute("PING")
        except REFUSED as error:
            facts.refused["PING"] = str(error)
            return
        times_ms.append((clock.monotonic() - begun_s) * 1000)
    median, longest = statistics.median(times_ms), max(times_ms)
    what = f"a round trip takes {median:.2f} ms (median of {PINGS}), {longest:.2f} ms at most"
    if median > _SLOW_MS:
        yield warn(
            "latency", what, "move workers and server closer together: each batch of messages costs one round trip"
        )
    elif longest > _STALLED_MS:
        yield warn("latency", what, "look for stalls: redis-cli SLOWLOG GET, redis-cli --latency, a busy machine")
    else:
        yield ok("latency", what)


def clocks(facts: ServerFacts) -> Iterator[Finding]:
    """Whether the server's clock and this host's agree."""
    best: tuple[float, float] | None = None
    for _ in range(5):
        begun_s, wall_s = clock.monotonic(), time.time()
        try:
            seconds, micros = facts.connection.execute("TIME")
        except REFUSED as error:
            facts.refused["TIME"] = str(error)
            return
        took_s = clock.monotonic() - begun_s
        skew_s = int(seconds) + int(micros) / 1e6 - (wall_s + took_s / 2)
        best = min(best or (took_s, skew_s), (took_s, skew_s))
    assert best is not None
    skew_s = best[1]
    side = "ahead of" if skew_s > 0 else "behind"
    if abs(skew_s) < _SKEW_S:
        yield ok("clock", f"the server's clock and this host's agree within {max(abs(skew_s), 0.001):.3f} s")
    else:
        yield warn("clock", f"the server's clock is {abs(skew_s):,.1f} s {side} this host's: delays follow the "
                   "server's, but times in logs and records do not match", "run NTP on both hosts")  # fmt: skip


def script_cache(facts: ServerFacts) -> Iterator[Finding]:
    """Whether scripts run, and whether the server's cache finds them by their digest."""
    nonce = secrets.token_hex(4)
    try:
        by_text = facts.connection.execute("EVAL", _SCRIPT, 0, nonce)
        by_digest = facts.connection.execute("EVALSHA", _SCRIPT_SHA1, 0, nonce)
    except NoScriptError:
        yield fail(
            "scripts",
            "a script that has just run is not in the cache",
            "is there a proxy that distributes connections over several servers, or a frequent SCRIPT FLUSH?",
        )
        return
    except REFUSED as error:
        yield fail("scripts", f"scripts cannot be run: {error}",
                   "permit EVAL and EVALSHA: BizzMQ writes only with scripts")  # fmt: skip
        return
    if by_text == by_digest == nonce.encode():
        yield ok("scripts", "scripts run, and the cache finds them by their digest")
    else:
        yield fail("scripts", "a script returns a wrong result", "use Redis or Valkey")


def connections(facts: ServerFacts) -> Iterator[Finding]:
    """How many connections the server still accepts."""
    used = facts.number("clients", "connected_clients")
    limit = facts.number("clients", "maxclients") or int(facts.config("maxclients") or 0)
    if used is None or not limit:
        return
    what = f"{used:,} of {limit:,} connections are used; each worker needs one, each pool two more"
    if used <= NEARLY_FULL * limit:
        yield ok("connections", what)
    else:
        yield (fail if used > FULL * limit else warn)(
            "connections", what, "raise maxclients (and the server's ulimit -n)"
        )
