"""What a pool is told: one frozen value, checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable, Mapping, Optional, Sequence, Union

from bizzmq import checks, handler_shape, server_url
from bizzmq.claim_size import DEFAULT_LIMIT
from bizzmq.errors import ConfigurationError
from bizzmq.keys import QueueKeys
from bizzmq.signing import Key, Signer
from bizzmq.workers import health, library_threads, processors, working_directory

_GRACE_S = 2.0
_A_TIME = partial(checks.seconds, least=0.001)
_CHECKS: Mapping[Callable[..., Any], Sequence[str]] = {
    partial(checks.integer, least=0): ("concurrency", "min_concurrency", "max_messages"),
    partial(checks.integer, least=1, most=100): ("prefetch",),
    partial(checks.integer, least=1): ("max_crashes",),
    checks.seconds: ("drain_timeout_s", "respawn_s", "timeout_s", "cpu_limit_s"),
    _A_TIME: (
        "lease_s", "block_s", "beat_s", "scan_s", "respawn_max_s", "healthy_s", "scale_latency_s", "scale_idle_s",
        "burst_patience_s",
    ),
    partial(checks.number, least=0.0): ("max_memory_mb", "kill_memory_mb"),
    checks.flag: ("burst", "reload"),
    partial(checks.choice, choices=("auto", "on", "off")): ("preload",),
    partial(checks.choice, choices=("rss", "pss")): ("memory_metric",),
    partial(checks.path, what="off, auto or a path"): ("control",),
    partial(checks.path, what="a directory's path, or empty for none"): ("journal",),
    partial(checks.text, what="an IP address or localhost"): ("health_host",),
    checks.secret: ("redis_url", "health_token"),
}  # fmt: skip
"""How each field is checked that can be by itself; times are seconds or a timedelta."""


@dataclass(frozen=True)
class WorkerConfig:
    """A pool of worker processes.

    Args:
        handler: `MODULE:CALLABLE`, imported in each worker, or a callable that the workers inherit.
        queues: queue names in order of preference; a missing one is created with a dead-letter queue.
        concurrency: worker processes; 0 means as many as there are processors to use.
        redis_url: as for BizzMQ.
        drain_timeout_s: within this time after SIGTERM the whole pool is gone.
        burst: leave once the queues hold nothing to do.
        burst_patience_s: a burst ends when Redis has been away for this time, or a queue set aside.
        max_messages: replace a worker after so many messages; 0 means never.
        prefetch: most messages that one worker claims at once, 1 to 100.
        block_s: longest wait of an idle worker for a wake-up, seconds.
        beat_s, lease_s, scan_s: see LeaseOptions.
        respawn_s, respawn_max_s: wait before a worker that died again is replaced: this, doubling, at most that.
        healthy_s: a worker that lived this long makes its slot's earlier deaths forgotten.
        max_crashes: how many workers a message may kill before it is quarantined.
        timeout_s: time limit of a message that neither has one of its own nor gets one from its queue; 0 for none.
        timeout_grace_s: how long after `MessageTimeout` was raised in a handler its worker is killed; None for 2 s.
        cpu_limit_s: CPU time that one message may use; 0 for no limit.
        max_memory_mb: a worker that has grown beyond this is replaced after its running message; 0 for no limit.
        kill_memory_mb: one that has grown beyond this is killed at once, and its message has failed; 0 for no limit.
        memory_metric: `rss`, or `pss`, which counts memory shared with other workers by its share.
        min_concurrency: with this the pool scales between it and `concurrency`; 0 keeps it at `concurrency`.
        scale_latency_s: the pool grows while messages have to wait longer than this.
        scale_idle_s: it shrinks after workers have had nothing to do for so long.
        reload: for development: reload when a source file below the current directory has changed.
        control: `off`, `auto` for a socket in a directory of its user's own, or the path of the socket.
        health_port: HTTP for /live and /ready; 0 takes a free port, None is none.
        health_host: an IP address. One that others can reach needs a token.
        health_token: what clients have to send as `Authorization: Bearer TOKEN`.
        library_threads: how many threads numerical libraries (OpenMP, BLAS) start in each worker: a number, `auto` for
            the processors divided by the workers, `off` to leave them alone.
        preload: `on` imports the handler once, in a template that forks the workers; `off` in each worker; `auto`
            is `on` on Linux. What was imported must have left no thread and no connection; else it is `off`.
        journal: a directory of this user's own, created if it is not there, where a worker keeps what it could not tell
            Redis of finished messages; "" for none.
        directory: where the handler is imported from, by name: a link in it is followed anew at each reload.
        signing_keys: as for BizzMQ; with keys, messages that are not signed become dead letters. () runs everything.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    handler: Union[str, Callable[..., Any]]
    queues: Sequence[str] = ("default",)
    concurrency: int = 0
    redis_url: str = field(default=server_url.DEFAULT_URL, repr=False)  # may hold a password
    drain_timeout_s: float = 30.0
    burst: bool = False
    burst_patience_s: float = 30.0
    max_messages: int = 0
    prefetch: int = DEFAULT_LIMIT
    block_s: float = 5.0
    beat_s: float = 3.0
    lease_s: float = 15.0
    scan_s: float = 5.0
    respawn_s: float = 0.1
    respawn_max_s: float = 30.0
    healthy_s: float = 60.0
    max_crashes: int = 3
    preload: str = "auto"
    library_threads: Union[int, str] = library_threads.AUTO
    timeout_s: float = 0.0
    timeout_grace_s: Optional[float] = None
    cpu_limit_s: float = 0.0
    max_memory_mb: float = 0.0
    kill_memory_mb: float = 0.0
    memory_metric: str = "rss"
    min_concurrency: int = 0
    scale_latency_s: float = 1.0
    scale_idle_s: float = 30.0
    reload: bool = False
    control: str = "off"
    health_port: Optional[int] = None
    health_host: str = "127.0.0.1"
    health_token: str = field(default="", repr=False)
    journal: str = ""
    signing_keys: Sequence[Key] = field(default=(), repr=False)
    directory: str = field(default_factory=working_directory.as_named)

    def __post_init__(self) -> None:
        if not isinstance(self.handler, str):
            handler_shape.check(self.handler)
        for check, names in _CHECKS.items():
            for name in names:
                checks.set_checked(self, name, check)
        self._check_queues()
        self._check_health()
        self._check_keys()
        if self.min_concurrency > self.worker_count:
            raise ConfigurationError(f"min_concurrency must not be more than concurrency, which is {self.worker_count}")
        if self.library_threads not in (library_threads.AUTO, library_threads.OFF):
            checks.set_checked(self, "library_threads", checks.integer, 1, otherwise=", or auto, or off")
        if self.timeout_grace_s is not None:
            checks.set_checked(self, "timeout_grace_s", checks.seconds, otherwise=", or None for 2 s")
            if self.grace_s > self.drain_timeout_s:
                raise ConfigurationError("timeout_grace_s must not be more than drain_timeout_s: it would end first")
        if 0 < self.kill_memory_mb <= self.max_memory_mb:
            raise ConfigurationError("kill_memory_mb must be more than max_memory_mb: first replaced, then killed")
        if self.lease_s < 2 * self.beat_s:
            raise ConfigurationError("lease_s must be at least twice beat_s, or a late beat ends the lease")

    def _check_keys(self) -> None:
        keys: Any = self.signing_keys
        if keys is not None and keys != ():  # None: as for BizzMQ
            keys = checks.items(keys, "signing_keys must be a list of at least one key")
            Signer(keys)
        object.__setattr__(self, "signing_keys", keys or ())

    def _check_health(self) -> None:
        if not self.control:
            raise ConfigurationError("control must be off, auto or a path")
        if self.health_port is not None:
            checks.set_checked(self, "health_port", checks.integer, 0, 65535, otherwise=", or None for no port")
        if not health.is_loopback(self.health_host) and not self.health_token:
            raise ConfigurationError(
                f"others can reach the health host {self.health_host}: set BIZZMQ_WORKER_HEALTH_TOKEN, "
                "which they will have to send"
            )

    def _check_queues(self) -> None:
        given = checks.items(self.queues, "queues must be a list of at least one queue name")
        queues = tuple(checks.text("each of queues", queue, "the name of a queue") for queue in given)
        object.__setattr__(self, "queues", queues)
        if len(set(queues)) != len(queues):
            raise ConfigurationError("a queue is named twice")
        for queue in queues:
            QueueKeys(queue)
        if len(queues) > 200:
            raise ConfigurationError("one pool can serve at most 200 queues")

    @property
    def capacity(self) -> int:
        """How many workers the pool may be grown to."""
        return max(2 * self.worker_count, self.worker_count + 8)

    @property
    def grace_s(self) -> float:
        """`timeout_grace_s`, or what stands for it: two seconds, however short the drain."""
        return _GRACE_S if self.timeout_grace_s is None else self.timeout_grace_s

    @property
    def worker_count(self) -> int:
        """How many workers the pool has."""
        return self.concurrency or processors.available()
