"""Execution times of scripts, measured by Redis."""

from __future__ import annotations

from typing import Any

from redis import Redis

from bizzmq.testing.layout import command

LIMIT_MS = 5
_RARE = 0.25
"""The share of calls that may be slower: other processes use the same processor, and Redis measures time, not work.
A script whose work grows with the stored data makes most calls slow."""


class ScriptTimes:
    """Records every script call that takes longer than 5 ms. For a server of the test alone."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        redis.config_set("slowlog-log-slower-than", LIMIT_MS * 1000)
        redis.config_set("slowlog-max-len", 100_000)
        self.begin()

    def begin(self) -> None:
        """Forget all earlier calls."""
        command(self._redis, "SLOWLOG", "RESET")
        command(self._redis, "CONFIG", "RESETSTAT")

    def check(self, at_least: int = 1) -> None:
        """Check that at least `at_least` calls were made and most took less than 5 ms."""
        figures = self._redis.info("commandstats")["cmdstat_evalsha"]  # EVAL is used by the tests only
        calls, mean_us = figures["calls"], figures["usec_per_call"]
        slow = [entry for entry in self._slowlog() if entry[0].upper() == "EVALSHA"]
        summary = f"{len(slow)} of {calls} script calls took more than {LIMIT_MS} ms, the mean {mean_us} us: {slow[:5]}"
        print(summary)  # noqa: T201 - for pytest's report
        assert calls >= at_least, summary
        assert len(slow) <= max(1, calls * _RARE), summary

    def _slowlog(self) -> list[tuple[str, int, str]]:
        """(command, microseconds, first characters) of each slow call."""
        entries: list[dict[str, Any]] = self._redis.slowlog_get(100_000)
        texts = [(entry["command"], entry["duration"]) for entry in entries]
        decoded = [(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, us) for text, us in texts]
        return [(text.split(" ")[0], us, text[:300]) for text, us in decoded]
