"""The configuration of a pool: one frozen value, checked when it is made. Each option of the pool is one field."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Sequence, Union

from bizzmq.app.description import AppDescription
from bizzmq.consumer.handlers import loader as handler_loader
from bizzmq.consumer.handlers.task_dispatcher import HasHandler
from bizzmq.consumer.prefetch import DEFAULT_LIMIT
from bizzmq.errors import ConfigurationError
from bizzmq.protocol.encryption import EncryptionKeys
from bizzmq.protocol.sealing import Sealer
from bizzmq.protocol.secret_keys import Key
from bizzmq.utils import server_url
from bizzmq.validation import checks
from bizzmq.workers import option_values
from bizzmq.workers.control import health
from bizzmq.workers.control.control_socket import AUTO, OFF
from bizzmq.workers.option import (
    Group,
    check_fields,
    checked_by,
    choice,
    docstring_lines,
    flag,
    integer,
    megabytes,
    option,
    options_of,
    path,
    seconds,
    text,
)
from bizzmq.workers.option_values import DEFAULT_QUEUES, HEALTH_TOKEN
from bizzmq.workers.process import cgroups, library_threads, working_directory

_DEFAULT_GRACE_S = 2.0


@dataclass(frozen=True)
class WorkerConfig:
    """A pool of worker processes.

    Raises:
        ConfigurationError: a value is invalid, or contradicts another one.

    Args:
        handler: `MODULE:CALLABLE` or `MODULE:APP`, imported in each worker, `MODULE` for its only app, or a callable or
            an app that the workers inherit.
        directory: The directory to import the handler from. Symbolic links in it are resolved again at each reload.
            Default: the working directory.
        description: What the handler's app declares. The pool finds it out.
    """

    handler: Union[str, Callable[..., Any], HasHandler]
    queues: Sequence[str] = option(
        "-q", "--queue", kind=checked_by(option_values.queue_names, "NAME", is_repeated=True), default=DEFAULT_QUEUES,
        default_text="default, or all queues of the app", group=Group.QUEUES,
        meaning="Queue to work on; repeat it in order of preference.",
        details="A missing queue is created, with the options that an app declares, or else with a dead-letter queue.",
    )  # fmt: skip
    concurrency: int = option(
        "-c", "--concurrency", kind=integer(0, flag_least=1), default=0, default_text="usable processors",
        default_here=cgroups.usable_processors, group=Group.WORKERS, meaning="Number of worker processes.",
        details="The CPU affinity and the quota of the control group say which processors are usable.",
    )  # fmt: skip
    redis_url: str = option(
        "--redis-url", kind=checked_by(checks.secret, "URL"), default=server_url.DEFAULT_URL,
        default_text=server_url.DEFAULT_URL, flag_default=server_url.from_environment, is_secret=True,
        more_variables=(server_url.VARIABLE,), group=Group.QUEUES, meaning=server_url.HELP,
    )  # fmt: skip
    drain_timeout_s: float = option(
        "--drain-timeout", kind=seconds(flag_least=0.1), default=30.0, group=Group.LIFECYCLE,
        meaning="After SIGTERM the whole pool has stopped within this time.",
    )  # fmt: skip
    burst: bool = option(
        "--burst", kind=flag(), default=False, group=Group.LIFECYCLE,
        meaning="Exit with 0 when the queues hold no more work.", details="Delayed messages count as work.",
    )  # fmt: skip
    burst_patience_s: float = option(
        "--burst-patience", kind=seconds(0.001, flag_least=0.1), default=30.0, group=Group.LIFECYCLE, needs=("burst",),
        meaning="A burst exits with 75 when Redis, or one of its queues, has been unavailable for this time.",
        details="Without `--burst` a pool waits for as long as it takes.",
    )  # fmt: skip
    max_messages: int = option(
        "--max-messages", kind=integer(0), default=0, default_text="never", group=Group.LIMITS,
        meaning="Replace a worker after N messages.",
        details="A worker is replaced up to a tenth earlier, so that workers do not all restart at once.",
    )  # fmt: skip
    prefetch: int = option(
        "--prefetch", kind=integer(1, 100), default=DEFAULT_LIMIT, group=Group.QUEUES,
        meaning="Most messages that a worker claims at once.",
        details="It claims fewer if the handler is slow, one at a time from 15 ms on.",
    )  # fmt: skip
    block_s: float = option(
        "--block", kind=seconds(0.001, flag_least=0.1, flag_most=60), default=5.0, group=Group.QUEUES,
        meaning="An idle worker asks Redis again after this time.",
        details="Set it below the time after which a proxy closes idle connections.",
    )  # fmt: skip
    beat_s: float = option(
        kind=seconds(0.001), default=3.0, meaning="Time between two heartbeats; at most half of `lease_s`."
    )
    lease_s: float = option(
        "--lease", kind=seconds(0.001, flag_least=1), default=15.0, group=Group.QUEUES,
        meaning="Other hosts take over the messages of a host that has been silent for this time.",
    )  # fmt: skip
    scan_s: float = option(kind=seconds(0.001), default=5.0, meaning="Time between two scans for expired leases.")
    respawn_s: float = option(
        kind=seconds(), default=0.1,
        meaning="Wait before a worker that has died again is replaced; it doubles with each further death.",
    )  # fmt: skip
    respawn_max_s: float = option(
        kind=seconds(0.001), default=30.0, meaning="Longest wait before a worker that has died is replaced."
    )
    healthy_s: float = option(
        kind=seconds(0.001), default=60.0, meaning="A worker that has lived for this time resets `respawn_s`."
    )
    max_crashes: int = option(
        "--max-crashes", kind=integer(1), default=3, group=Group.LIMITS,
        meaning="Number of workers that a message may kill before it is quarantined.",
    )  # fmt: skip
    preload: str = option(
        "--preload", kind=choice("auto", "on", "off"), default="auto", group=Group.WORKERS,
        meaning="Import the handler once and fork the workers from that process.",
        details="`auto` does so on Linux, unless the import has left threads or connections; `on` does so in any case; "
        "with `off` each worker imports the handler.",
    )  # fmt: skip
    library_threads: Union[int, str] = option(
        "--library-threads", kind=integer(1, words=(library_threads.AUTO, library_threads.OFF)),
        default=library_threads.AUTO, group=Group.WORKERS,
        meaning="Threads of OpenMP, BLAS and similar libraries in each worker; auto: processors / workers.",
        details="`off` leaves the libraries alone.",
    )  # fmt: skip
    timeout_s: float = option(
        "--timeout", kind=seconds(), default=0.0, default_text="none", group=Group.LIMITS,
        meaning="Time limit of a message, unless the message or its queue has one.",
    )  # fmt: skip
    timeout_grace_s: Optional[float] = option(
        "--timeout-grace", kind=seconds(none=f"{_DEFAULT_GRACE_S:g} s"), default=None,
        default_text=f"{_DEFAULT_GRACE_S:g}", group=Group.LIMITS,
        meaning="Time from the exception in the handler to the SIGKILL of its worker.",
    )  # fmt: skip
    cpu_limit_s: float = option(
        "--cpu-limit", kind=seconds(), default=0.0, default_text="no limit", group=Group.LIMITS,
        meaning="CPU time that one message may use.",
        details="All its threads count. After the grace period its worker is killed, with all that it has started.",
    )  # fmt: skip
    autopsy_after_s: float = option(
        "--autopsy-after", kind=seconds(), default=0.0, default_text="off", group=Group.LIMITS,
        meaning="Sample the stack of a message that runs longer than this and than 99 % of its task's messages.",
        details="The samples take at most 1 % of its time, and are kept with the message: see `bizzmq profile`.",
    )  # fmt: skip
    max_memory_mb: float = option(
        "--max-memory", kind=megabytes(), default=0.0, default_text="never", group=Group.LIMITS,
        meaning="Replace a worker that has grown beyond this, after its message.",
        details="A worker is replaced up to a tenth earlier, so that workers do not all restart at once.",
    )  # fmt: skip
    kill_memory_mb: float = option(
        "--kill-memory", kind=megabytes(), default=0.0, default_text="never", group=Group.LIMITS,
        meaning="Kill a worker that has grown beyond this, in the middle of its message.",
        details="The memory of what the message has started counts, too.",
    )  # fmt: skip
    memory_metric: str = option(
        "--memory-metric", kind=choice("rss", "pss"), default="rss", group=Group.LIMITS,
        needs=("max_memory_mb", "kill_memory_mb"), meaning="How the memory of a worker is measured.",
        details="`pss` divides shared pages among the processes that share them, and takes longer to read.",
    )  # fmt: skip
    min_concurrency: int = option(
        "--min-concurrency", kind=integer(0, flag_least=1), default=0, default_text="off", group=Group.WORKERS,
        meaning="Scale between this and --concurrency by how long messages wait.",
    )  # fmt: skip
    scale_latency_s: float = option(
        "--scale-latency", kind=seconds(0.001, flag_least=0.1), default=1.0, group=Group.WORKERS,
        needs=("min_concurrency",), meaning="Add workers while messages wait longer than this.",
        details="A pool never grows under pressure of CPU or memory (`/proc/pressure`).",
    )  # fmt: skip
    scale_idle_s: float = option(
        "--scale-idle", kind=seconds(0.001, flag_least=0.1), default=30.0, group=Group.WORKERS,
        needs=("min_concurrency",), meaning="Remove workers when they have been idle for this time.",
    )  # fmt: skip
    reload: bool = option(
        "--reload", kind=flag(), default=False, group=Group.LIFECYCLE,
        meaning="For development: reload when a source file changes.",
        details="Watches the current directory. Needs the extra `reload`.",
    )  # fmt: skip
    capture_output: bool = option(
        "--capture-output", kind=flag(), default=False, group=Group.WORKERS,
        meaning="Keep what a message writes to stdout and stderr as its output.",
        details="Also C code and child processes. It still reaches the pool's stdout and stderr. Linux.",
    )  # fmt: skip
    control: str = option(
        "--control", kind=path("off, auto or a path", "PATH|auto|off"), default=OFF, flag_default=AUTO,
        group=Group.STATUS,
        meaning="Path of the control socket; auto: in a directory of the pool's user.",
        details="`bizzmq pool` and `--check` ask it. Only the pool's user can connect.",
    )  # fmt: skip
    health_port: Optional[int] = option(
        "--health-port", kind=integer(0, 65535, none="no port", metavar="PORT"), default=None, default_text="off",
        group=Group.STATUS, meaning="Port that answers HTTP GET /live, /ready, /metrics and /wanted.",
        details="0 takes a free port.",
    )  # fmt: skip
    health_host: str = option(
        "--health-host", kind=text("an IP address or localhost", "ADDRESS"), default="127.0.0.1", group=Group.STATUS,
        needs=("health_port",),
        meaning=f"Address of the health port. One that other hosts can reach needs {HEALTH_TOKEN}.",
    )  # fmt: skip
    health_token: str = option(
        kind=checked_by(option_values.token), default="", variable=HEALTH_TOKEN, is_secret=True, group=Group.STATUS,
        meaning="Token that clients of the health port send as `Authorization: Bearer TOKEN`.",
    )  # fmt: skip
    journal: str = option(
        "--journal", kind=path("a directory's path, or empty for none", "DIR", empty_is_off=True), default="",
        default_text="off", group=Group.QUEUES,
        meaning="Directory for the outcomes of messages that could not be sent to Redis, until they can.",
        details="It belongs to the pool's user, and is created if it does not exist.",
    )  # fmt: skip
    signing_keys: Sequence[Key] = option(
        kind=checked_by(option_values.signing_keys), default=(), is_secret=True,
        meaning="As for BizzMQ. With keys, messages that are not signed become dead letters.",
    )  # fmt: skip
    encryption_keys: EncryptionKeys = option(
        kind=checked_by(option_values.encryption_keys), default=(), is_secret=True,
        meaning="As for BizzMQ. Messages that are encrypted with another key wait for a worker that has it.",
    )  # fmt: skip
    directory: str = field(default_factory=working_directory.logical_path)
    unknown_task_limit_s: Optional[float] = option(
        "--unknown-task-limit", kind=seconds(none="the app's limit"), default=None,
        default_text="that of the app, a day", group=Group.LIMITS,
        meaning="How long a message waits for a worker that knows its task; then it is dead-lettered.",
    )  # fmt: skip
    description: Optional[AppDescription] = field(default=None, repr=False, compare=False)
    code_version: str = option("--code-version", kind=text("a version", "VERSION"), default="", group=Group.STATUS,
                               meaning="Version of your code, for bizzmq pools to show.")  # fmt: skip

    def __post_init__(self) -> None:
        if not isinstance(self.handler, str):
            handler_loader.handler_of(self.handler)
        check_fields(self)
        self._check_together()

    def _check_together(self) -> None:
        if not health.is_loopback(self.health_host) and not self.health_token:
            raise ConfigurationError(
                f"other hosts can reach the health host {self.health_host}: set {HEALTH_TOKEN}, which they have to send"
            )
        if self.min_concurrency > self.worker_count:
            raise ConfigurationError(f"min_concurrency must not be more than concurrency, which is {self.worker_count}")
        if self.timeout_grace_s is not None and self.grace_s > self.drain_timeout_s:
            raise ConfigurationError("timeout_grace_s must not be more than drain_timeout_s, or the drain ends first")
        if 0 < self.kill_memory_mb <= self.max_memory_mb:
            raise ConfigurationError(
                "kill_memory_mb must be more than max_memory_mb: a worker is replaced before it is killed"
            )
        if self.lease_s < 2 * self.beat_s:
            raise ConfigurationError("lease_s must be at least twice beat_s, or a late heartbeat ends the lease")

    def sealer(self) -> Sealer:
        """What opens the bodies of messages."""
        return Sealer(self.signing_keys or None, encryption_keys=self.encryption_keys or None)

    @property
    def capacity(self) -> int:
        """The number of workers that the pool may grow to."""
        return max(2 * self.worker_count, self.worker_count + 8)

    @property
    def grace_s(self) -> float:
        """`timeout_grace_s`, or its default, however short the drain is."""
        return _DEFAULT_GRACE_S if self.timeout_grace_s is None else self.timeout_grace_s

    @property
    def worker_count(self) -> int:
        """The number of workers of the pool."""
        return self.concurrency or cgroups.usable_processors()


OPTIONS = options_of(WorkerConfig)
"""All options of the pool."""
if WorkerConfig.__doc__:  # there is none with -OO
    WorkerConfig.__doc__ = "\n    ".join((inspect.cleandoc(WorkerConfig.__doc__), *docstring_lines(OPTIONS)))
