"""How long scripts take inside Redis, by its own clock."""

from __future__ import annotations

from typing import Any

from redis import Redis

from bizzmq.testing.layout import command

LIMIT_MS = 5
_RARE = 0.05
"""The share of calls that may be slower: the processor is not ours alone, and Redis measures time, not work. A script
whose work grows with what is stored makes most calls slow."""


class ScriptTimes:
    """Notes every script call that takes longer than 5 ms, from now on. On a server of the test's own."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        redis.config_set("slowlog-log-slower-than", LIMIT_MS * 1000)
        redis.config_set("slowlog-max-len", 100_000)
        self.begin()

    def begin(self) -> None:
        """Forget what was before."""
        command(self._redis, "SLOWLOG", "RESET")
        command(self._redis, "CONFIG", "RESETSTAT")

    def check(self, at_least: int = 1) -> None:
        """So many calls were made; they took less than 5 ms, but for the rare one that was held up."""
        figures = self._redis.info("commandstats")["cmdstat_evalsha"]  # the library's; EVAL is the test's own
        calls, mean_us = figures["calls"], figures["usec_per_call"]
        slow = [entry for entry in self._slowlog() if entry[0].upper() == "EVALSHA"]
        told = f"{len(slow)} of {calls} script calls took more than {LIMIT_MS} ms, the mean {mean_us} us: {slow[:5]}"
        print(told)  # noqa: T201 - for pytest's report
        assert calls >= at_least, told
        assert mean_us < LIMIT_MS * 1000 / 2, told
        assert len(slow) <= max(1, calls * _RARE), told

    def _slowlog(self) -> list[tuple[str, int, str]]:
        """(command, microseconds, its beginning) of each slow call."""
        entries: list[dict[str, Any]] = self._redis.slowlog_get(100_000)
        texts = [(entry["command"], entry["duration"]) for entry in entries]
        decoded = [(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, us) for text, us in texts]
        return [(text.split(" ")[0], us, text[:300]) for text, us in decoded]
