"""The `bizzmq-worker` command."""

from __future__ import annotations

import logging
import sys

import click

import bizzmq
from bizzmq import console, logs
from bizzmq.claim_size import DEFAULT_LIMIT
from bizzmq.handler import split_spec
from bizzmq.workers import exits, processors
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.supervisor import Supervisor

_VARIABLES = "BIZZMQ_WORKER"


@click.command(context_settings={"auto_envvar_prefix": _VARIABLES, "help_option_names": ["-h", "--help"]})
@click.argument("handler", metavar="MODULE:CALLABLE")
@click.option("-q", "--queue", "queues", multiple=True, default=("default",), show_default=True, metavar="NAME",
              envvar=f"{_VARIABLES}_QUEUE", help="Queue to work on; repeat it in order of preference.")  # fmt: skip
@click.option("-c", "--concurrency", type=click.IntRange(min=1), metavar="N", show_default=False,
              help=f"Worker processes.  [default: usable processors, here {processors.available()}]")  # fmt: skip
@console.redis_url(f"{_VARIABLES}_REDIS_URL")
@click.option("--drain-timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, metavar="SECONDS",
              help="After SIGTERM the whole pool is gone within this time.")  # fmt: skip
@click.option("--burst", is_flag=True, help="Leave with 0 once the queues hold nothing to do.")
@click.option("--max-messages", type=click.IntRange(min=0), default=0, metavar="N",
              help="Replace a worker after N messages.  [default: never]")  # fmt: skip
@click.option("--prefetch", type=click.IntRange(1, 100), default=DEFAULT_LIMIT, show_default=True, metavar="N",
              help="Upper bound of what one worker claims at once.")  # fmt: skip
@click.option("--lease", type=click.FloatRange(min=1), default=15.0, show_default=True, metavar="SECONDS",
              help="After this silence of a host others take its messages.")  # fmt: skip
@click.option("--max-crashes", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Workers that a message may kill before it is quarantined.")  # fmt: skip
@click.option("--log-level", type=click.Choice(logs.LEVELS, case_sensitive=False), default="info", show_default=True)
@click.option("--log-format", type=click.Choice(logs.FORMATS, case_sensitive=False), default="text", show_default=True)
@click.version_option(bizzmq.__version__, "--version", message="%(prog)s %(version)s")
def command(
    handler: str,
    *,
    queues: tuple[str, ...],
    concurrency: int | None,
    redis_url: str,
    drain_timeout: float,
    burst: bool,
    max_messages: int,
    prefetch: int,
    lease: float,
    max_crashes: int,
    log_level: str,
    log_format: str,
) -> None:
    """Run a pool of worker processes that handle messages with MODULE:CALLABLE.

    SIGTERM and SIGINT drain the pool: running messages finish, the rest goes back. A second one, or
    SIGQUIT, stops it at once and gives everything back.

    Exit codes: 0 drained, 2 usage or configuration, 3 the handler cannot be imported, 70 internal error.
    """
    split_spec(handler)
    logs.configure(log_level, log_format)
    config = WorkerConfig(
        handler=handler,
        queues=queues,
        concurrency=concurrency or 0,
        redis_url=redis_url,
        drain_timeout_s=drain_timeout,
        burst=burst,
        max_messages=max_messages,
        prefetch=prefetch,
        lease_s=lease,
        beat_s=lease / 5,
        scan_s=lease / 3,
        max_crashes=max_crashes,
    )
    supervisor = Supervisor(config, for_good=True)
    code = supervisor.run()
    if supervisor.failure is not None:
        if supervisor.failure.traceback:
            click.echo(supervisor.failure.traceback.rstrip(), err=True)
        click.echo(f"bizzmq-worker: {supervisor.failure.error}", err=True)
    logging.shutdown()
    sys.exit(code)


def main() -> None:
    """The entry point."""
    console.run(command, "bizzmq-worker", usage_code=exits.USAGE, crash_code=exits.INTERNAL_ERROR)
