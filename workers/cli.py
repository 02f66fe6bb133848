"""The `bizzmq-worker` command."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import sys
from typing import NoReturn

import click

import bizzmq
from bizzmq import console, environment, logs, secret_settings, signing, streams
from bizzmq.claim_size import DEFAULT_LIMIT
from bizzmq.errors import ConfigurationError
from bizzmq.handler import HandlerImportError, split_spec
from bizzmq.logs import log
from bizzmq.workers import exits, library_threads, options_together, processors, signals, terminal
from bizzmq.workers.boot import failure_in, failure_of
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.control import AUTO, CHECK, READY, PoolSilentError, ask, find
from bizzmq.workers.debug import run as in_foreground
from bizzmq.workers.preload import check as preload_check
from bizzmq.workers.supervisor import Supervisor

_VARIABLES = "BIZZMQ_WORKER"
_logger = logging.getLogger("bizzmq.supervisor")
_guard = streams.GuardedStreams()


class _CountOrWord(click.ParamType):  # type: ignore[type-arg]
    """A whole number of at least 1, or one of some words."""

    name = "number"

    def __init__(self, *words: str) -> None:
        self._words = words

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if isinstance(value, str) and value in self._words:
            return value
        text = str(value)
        if not (text.isascii() and text.isdigit() and int(text) >= 1):
            self.fail(f"{text!r} is neither a whole number of at least 1, nor {' nor '.join(self._words)}", param, ctx)
        return int(text)


@click.command(context_settings={"auto_envvar_prefix": _VARIABLES, "help_option_names": ["-h", "--help"]})
@click.argument("handler", metavar="MODULE:CALLABLE", required=False)
@click.option("-q", "--queue", "queues", multiple=True, default=("default",), show_default=True, metavar="NAME",
              envvar=f"{_VARIABLES}_QUEUE", help="Queue to work on; repeat it in order of preference.")  # fmt: skip
@click.option("-c", "--concurrency", type=click.IntRange(min=1), metavar="N", show_default=False,
              help=f"Worker processes.  [default: usable processors, here {processors.available()}]")  # fmt: skip
@console.redis_url(f"{_VARIABLES}_REDIS_URL")
@click.option("--drain-timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS",
              help="After SIGTERM the whole pool is gone within this time.")  # fmt: skip
@click.option("--burst", is_flag=True, help="Leave with 0 once the queues hold nothing to do.")
@click.option("--burst-patience", type=click.FloatRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS",
              help="A burst ends with 75 when Redis, or one of its queues, has been away for this time.")  # fmt: skip
@click.option("--min-concurrency", type=click.IntRange(min=1), metavar="N",
              help="Scale between this and --concurrency by how long messages wait.  [default: off]")  # fmt: skip
@click.option("--scale-latency", type=click.FloatRange(min=0.1), default=1.0, show_default=True, metavar="SECONDS",
              help="Grow while messages wait longer than this.")  # fmt: skip
@click.option("--scale-idle", type=click.FloatRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS",
              help="Shrink when workers have idled for so long.")  # fmt: skip
@click.option("--reload", is_flag=True, help="For development: reload when a source file changes.")
@click.option("--max-messages", type=click.IntRange(min=0), default=0, metavar="N",
              help="Replace a worker after N messages.  [default: never]")  # fmt: skip
@click.option("--prefetch", type=click.IntRange(1, 100), default=DEFAULT_LIMIT, show_default=True, metavar="N",
              help="Upper bound of what one worker claims at once.")  # fmt: skip
@click.option("--block", type=click.FloatRange(0.1, 60), default=5.0, show_default=True, metavar="SECONDS",
              help="An idle worker asks Redis anew after this time; less than what ends idle connections.")  # fmt: skip
@click.option("--lease", type=click.FloatRange(min=1), default=15.0, show_default=True, metavar="SECONDS",
              help="After this silence of a host others take its messages.")  # fmt: skip
@click.option("--max-crashes", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Workers that a message may kill before it is quarantined.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), default=0, metavar="SECONDS",
              help="Time limit of a message, unless it or its queue has one.  [default: none]")  # fmt: skip
@click.option("--timeout-grace", type=click.FloatRange(min=0), metavar="SECONDS",
              help="From the exception in the handler to the worker's SIGKILL.  [default: 2]")  # fmt: skip
@click.option("--cpu-limit", type=click.FloatRange(min=0), default=0, metavar="SECONDS",
              help="CPU time that one message may use.  [default: no limit]")  # fmt: skip
@click.option("--max-memory", type=click.FloatRange(min=0), default=0, metavar="MB",
              help="Replace a worker that has grown beyond this.  [default: never]")  # fmt: skip
@click.option("--kill-memory", type=click.FloatRange(min=0), default=0, metavar="MB",
              help="Kill a worker that has grown beyond this.  [default: never]")  # fmt: skip
@click.option("--memory-metric", type=click.Choice(["rss", "pss"]), default="rss", show_default=True,
              help="What a worker's memory is measured by.")  # fmt: skip
@click.option("--preload", type=click.Choice(["auto", "on", "off"]), default="auto", show_default=True,
              help="Import the handler once and fork the workers from there.")  # fmt: skip
@click.option("--journal", callback=console.stated, metavar="DIR",
              help="Keep there what could not be told to Redis, until it can be.  [default: off]")  # fmt: skip
@click.option("--control", default=AUTO, show_default=True, metavar="PATH|auto|off",
              help="Socket by which the pool is asked what it does; auto: in a directory of your own.")  # fmt: skip
@click.option("--health-port", type=click.IntRange(0, 65535), metavar="PORT",
              help="Answer HTTP GET /live and /ready there.  [default: off]")  # fmt: skip
@click.option("--health-host", default="127.0.0.1", show_default=True, metavar="ADDRESS",
              help=f"Others than this machine's need {_VARIABLES}_HEALTH_TOKEN, sent as a bearer token.")  # fmt: skip
@click.option(
    "--check",
    type=click.Choice(["live", "ready"]),
    is_flag=False,
    flag_value="live",
    allow_from_autoenv=False,
    metavar="[live|ready]",
    help="Start nothing: leave with 0 if a pool answers on its control socket (and is ready), else with 1.",
)
@click.option("--library-threads", type=_CountOrWord(library_threads.AUTO, library_threads.OFF),
              default=library_threads.AUTO, show_default=True, metavar="N|off",
              help="Threads of OpenMP, BLAS and the like in each worker; auto: processors / workers.")  # fmt: skip
@click.option("--debug", is_flag=True, allow_from_autoenv=False,
              help="One worker in the foreground, without limits: breakpoint() has a prompt.")  # fmt: skip
@click.option("--check-preload", is_flag=True, allow_from_autoenv=False,
              help="Start nothing: import the handler, and say whether workers can be forked from there (0) or each "
              "has to import by itself (1), and why.")  # fmt: skip
@click.option("--keep-environment", is_flag=True,
              help="Leave addresses, keys and tokens of BizzMQ in the environment of what handlers start.")  # fmt: skip
@click.option("--log-level", type=click.Choice(logs.LEVELS, case_sensitive=False), default="info", show_default=True)
@click.option("--log-format", type=click.Choice(logs.FORMATS, case_sensitive=False), default="text", show_default=True)
@click.version_option(bizzmq.__version__, "--version", message="%(prog)s %(version)s")
def command(
    handler: str | None,
    *,
    queues: tuple[str, ...],
    concurrency: int | None,
    redis_url: str,
    drain_timeout: float,
    burst: bool,
    burst_patience: float,
    min_concurrency: int | None,
    scale_latency: float,
    scale_idle: float,
    reload: bool,
    max_messages: int,
    prefetch: int,
    block: float,
    lease: float,
    max_crashes: int,
    timeout: float,
    timeout_grace: float | None,
    cpu_limit: float,
    max_memory: float,
    kill_memory: float,
    memory_metric: str,
    preload: str,
    library_threads: int | str,
    journal: str | None,
    control: str,
    health_port: int | None,
    health_host: str,
    check: str | None,
    check_preload: bool,
    debug: bool,
    keep_environment: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Run a pool of worker processes that handle messages with MODULE:CALLABLE.

    SIGTERM and SIGINT drain the pool: running messages finish, the rest goes back. A second one, or
    SIGQUIT, stops it at once and gives everything back.

    Exit codes: 0 drained, 2 usage or configuration, 3 the handler cannot be imported or called, 70 internal error,
    75 Redis, or a queue, was away for longer than --burst-patience.
    """
    if check is not None:
        _check(control, check)
        return
    if handler is None:
        raise click.UsageError(
            "Missing argument 'MODULE:CALLABLE', the function that handles messages: bizzmq-worker tasks:handler"
        )
    split_spec(handler)
    if check_preload:
        _check_preload(handler)
    _guard.give_back()  # from here on stdout and stderr are those that handlers print to
    logs.configure(log_level, log_format)
    try:
        config = WorkerConfig(
            handler=handler,
            queues=queues,
            concurrency=concurrency or 0,
            redis_url=redis_url,
            drain_timeout_s=drain_timeout,
            burst=burst,
            burst_patience_s=burst_patience,
            min_concurrency=min_concurrency or 0,
            scale_latency_s=scale_latency,
            scale_idle_s=scale_idle,
            reload=reload,
            max_messages=max_messages,
            prefetch=prefetch,
            block_s=block,
            lease_s=lease,
            beat_s=lease / 5,
            scan_s=lease / 3,
            max_crashes=max_crashes,
            timeout_s=timeout,
            timeout_grace_s=timeout_grace,
            cpu_limit_s=cpu_limit,
            max_memory_mb=max_memory,
            kill_memory_mb=kill_memory,
            memory_metric=memory_metric,
            preload=preload,
            library_threads=library_threads,
            journal=journal or "",
            control=control,
            health_port=health_port,
            health_host=health_host,
            health_token=os.environ.get(f"{_VARIABLES}_HEALTH_TOKEN", ""),
            signing_keys=signing.keys_from_environment() or (),
        )
    except ConfigurationError as error:
        raise ConfigurationError(_by_option(str(error))) from None
    for sentence in (*environment.misspelt([command]), *options_together.without_effect(click.get_current_context())):
        log(_logger, logging.WARNING, sentence)
    if debug:
        _debug(config)
        return
    if not keep_environment:
        secret_settings.hide()  # before anything is forked: only this process and its forks still find them
    outlives_terminal = terminal.is_nohup()
    signals.ignore_until_ready()
    supervisor = Supervisor(config, for_good=True, outlives_terminal=outlives_terminal)
    _warn_of_root(os.geteuid(), os.getpid())
    code = supervisor.run()
    if supervisor.failure is not None:
        if supervisor.failure.traceback:
            streams.say(supervisor.failure.traceback.rstrip())
        streams.say(f"bizzmq-worker: {_by_option(supervisor.failure.error)}")
    logging.shutdown()
    sys.exit(code)


def _warn_of_root(user: int, process: int) -> None:
    """Handlers need no rights over the whole machine. Process 1 is alone in its container, where root is the usual."""
    if user == 0 and process != 1:
        log(_logger, logging.WARNING, "running as root, handlers should not: start the pool as a user of its own")


def _by_option(text: str) -> str:
    """A sentence about settings, in which each is called as it is on the command line."""
    names = {field.name for field in dataclasses.fields(WorkerConfig) if "_" in field.name}
    return re.sub(r"[a-z_]+", lambda word: _option(word[0]) if word[0] in names else word[0], text)


def _option(setting: str) -> str:
    return "--" + re.sub("_(s|mb)$", "", setting).replace("_", "-")


def _check(where: str, what: str) -> None:
    """Return if a pool answers, and what it answers will do; else it is an error."""
    said = ask(find(where), CHECK if what == "live" else READY)
    if what == "ready" and said != "ok":
        raise PoolSilentError(f"the pool is not ready: {said}")


def _debug(config: WorkerConfig) -> None:
    try:
        in_foreground(config)
    except HandlerImportError as error:
        _cannot_import(error)


def _cannot_import(error: HandlerImportError) -> NoReturn:
    failure = failure_in(failure_of(error))
    streams.say(failure.traceback.rstrip())
    raise console.CommandError(failure.error, failure.code)


def _check_preload(handler: str) -> NoReturn:
    """Show the report, and leave at once: what the import has left running would keep this process."""
    try:
        is_fine, lines = preload_check.check(handler)
    except HandlerImportError as error:
        _cannot_import(error)
    except ConfigurationError as error:
        raise console.CommandError(str(error), exits.CANNOT_BOOT) from None
    streams.show_lines(logs.escape(line) for line in lines)
    os._exit(exits.DRAINED if is_fine else exits.EACH_IMPORTS)


def main() -> None:
    """The entry point."""
    streams.open_closed()
    console.run(command, "bizzmq-worker", usage_code=exits.USAGE, crash_code=exits.INTERNAL_ERROR, streams=_guard)
