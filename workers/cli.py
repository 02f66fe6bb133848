"""The `bizzmq-worker` command."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from types import FrameType
from typing import Any, Mapping, NoReturn

import click

import bizzmq
from bizzmq.consumer.handlers.loader import HandlerImportError, split_spec
from bizzmq.errors import ConfigurationError, PoolSilentError
from bizzmq.protocol import encryption, signing
from bizzmq.utils import clock, console, environment, logs, secret_settings, standard_streams
from bizzmq.utils.logs import log
from bizzmq.workers import click_options, exit_codes
from bizzmq.workers.click_options import GroupedCommand, GroupedOption
from bizzmq.workers.config import OPTIONS, WorkerConfig
from bizzmq.workers.control.client import ask, find
from bizzmq.workers.control.control_socket import CHECK, IDLE, READY
from bizzmq.workers.option import PREFIX, Group
from bizzmq.workers.process import terminal
from bizzmq.workers.supervisor import signals
from bizzmq.workers.supervisor.supervisor import Supervisor
from bizzmq.workers.worker import description, handler_import, orderly_exit, preload_check
from bizzmq.workers.worker.foreground import run as in_foreground

_logger = logging.getLogger("bizzmq.supervisor")
_guard = standard_streams.GuardedStreams()
_CHECKS = {"live": CHECK, "ready": READY, "idle": IDLE}
_BETWEEN_S = 0.1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)


@click.command(
    cls=GroupedCommand,
    context_settings={"auto_envvar_prefix": PREFIX, "help_option_names": ["-h", "--help"]},
)
@click.argument("handler", metavar="MODULE:CALLABLE|MODULE:APP", required=False)
@click_options.add(OPTIONS)
@click.option("--check", type=click.Choice([*_CHECKS]), is_flag=False, flag_value="live", metavar="[live|ready|idle]",
              allow_from_autoenv=False, cls=GroupedOption, group=Group.STATUS,
              help="Start nothing. Exit with 0 if a pool answers on its control socket (and is ready; and no worker "
              "runs or holds a message), else with 1.")  # fmt: skip
@click.option("--check-preload", is_flag=True, allow_from_autoenv=False, cls=GroupedOption, group=Group.WORKERS,
              help="Start nothing. Import the handler, and report whether workers can be forked after the import, "
              "and if not, why. Exit with 0 if they can, else with 1.")  # fmt: skip
@click.option("--debug", is_flag=True, allow_from_autoenv=False, cls=GroupedOption, group=Group.LIFECYCLE,
              help="Run one worker in the foreground, without limits, so that breakpoint() has a prompt.")  # fmt: skip
@click.option("--keep-environment", is_flag=True,
              help="Leave the addresses, keys and tokens of BizzMQ in the environment of programs that handlers "
              "start.")  # fmt: skip
@click.option("--log-level", type=click.Choice(logs.LEVELS, case_sensitive=False), default="info", show_default=True,
              help="Lowest level to log.")  # fmt: skip
@click.option("--log-format", type=click.Choice(logs.FORMATS, case_sensitive=False), default="text", show_default=True,
              help="Format of the log lines.")  # fmt: skip
@click.version_option(bizzmq.__version__, "--version", message="%(prog)s %(version)s", allow_from_autoenv=False)
@click.pass_context
def command(
    context: click.Context,
    /,
    handler: str | None,
    *,
    check: str | None,
    check_preload: bool,
    debug: bool,
    keep_environment: bool,
    log_level: str,
    log_format: str,
    **given: Any,
) -> None:
    """Run a pool of worker processes that handle messages with MODULE:CALLABLE, or run the tasks of MODULE:APP.

    MODULE alone stands for its only app. A pool works on all queues of its app, in the order in which the app declares
    them, or on those that -q names.

    SIGTERM and SIGINT drain the pool: running messages finish, the rest go back to their queues. A second signal, or
    SIGQUIT, stops the pool at once, and all messages go back.

    Exit codes: 0 drained, 2 usage or configuration, 3 the handler cannot be imported or called, 70 internal error,
    75 Redis, or a queue, was unavailable for longer than --burst-patience.
    """
    if check is not None:
        _check(given["control"], check)
        return
    if handler is None:
        raise click.UsageError(
            "Missing argument 'MODULE:CALLABLE', the function or the app that handles messages: "
            "bizzmq-worker tasks:handler"
        )
    split_spec(handler)
    _guard.restore()  # from here on handlers print to the real stdout and stderr
    logs.configure(log_level, log_format)
    config = _config(handler, given)
    for sentence in (*environment.misspelt(lambda: [command]), *hints(context)):
        log(_logger, logging.WARNING, sentence)
    if check_preload:
        _check_preload(config)
    if debug:
        _debug(config)
        return
    if not keep_environment:
        secret_settings.hide()  # before the first fork: only this process and its forks can still read them
    outlives_terminal = terminal.is_nohup()
    signals.ignore_until_ready()
    config = _described(config)
    supervisor = Supervisor(config, for_good=True, outlives_terminal=outlives_terminal)
    _warn_of_root(os.geteuid(), os.getpid())
    code = supervisor.run()
    if supervisor.failure is not None:
        if supervisor.failure.traceback:
            standard_streams.show_on_stderr(supervisor.failure.traceback.rstrip())
        standard_streams.show_on_stderr(f"bizzmq-worker: {_with_flags(supervisor.failure.error)}")
    logging.shutdown()
    sys.exit(code)


def _config(handler: str, given: Mapping[str, Any]) -> WorkerConfig:
    lease_s = given["lease"]
    try:
        return WorkerConfig(
            handler=handler,
            beat_s=lease_s / 5,
            scan_s=lease_s / 3,
            signing_keys=signing.keys_from_environment() or (),
            encryption_keys=encryption.keys_from_environment() or (),
            **click_options.settings(OPTIONS, given),
        )
    except ConfigurationError as error:
        raise ConfigurationError(_with_flags(str(error))) from None


def hints(context: click.Context) -> list[str]:
    """A sentence for each given option that has no effect."""
    sentences = click_options.without_effect(OPTIONS, context)
    least, most = context.params["min_concurrency"], context.params["concurrency"]
    if least and least == most:
        sentences.append("--min-concurrency has no effect, since it is --concurrency")
    return sentences


def _warn_of_root(user: int, process: int) -> None:
    """Warn that handlers run as root. Process 1 is exempt: it is alone in its container, where root is usual."""
    if user == 0 and process != 1:
        log(_logger, logging.WARNING, "running as root, handlers should not: start the pool as a user of its own")


def _with_flags(sentence: str) -> str:
    """The sentence with flags instead of fields of WorkerConfig."""
    flags = {one.name: one.flag for one in OPTIONS if one.flags and "_" in one.name}
    return re.sub("[a-z_]+", lambda word: flags.get(word[0], word[0]), sentence)


def _described(config: WorkerConfig) -> WorkerConfig:
    """The configuration with what the handler's app declares. A request to end ends the command as it ends a pool."""

    def end(_number: int, _frame: FrameType | None) -> NoReturn:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        sys.exit(exit_codes.DRAINED)

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        return description.described_if_possible(config)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check(where: str, what: str) -> None:
    """Ask the pool at this control socket whether it is live, ready or idle.

    Raises:
        PoolSilentError: no pool answers, or the pool is not ready or not idle.
    """
    path = find(where)
    for last in (False, True) if what == "idle" else (True,):  # twice: a worker may just begin the next message
        reply = ask(path, _CHECKS[what])
        if what != "live" and reply != "ok":
            raise PoolSilentError(f"the pool is not {what}: {reply}")
        if not last:
            clock.sleep(_BETWEEN_S)


def _debug(config: WorkerConfig) -> None:
    try:
        in_foreground(config)
    except HandlerImportError as error:
        _cannot_import(error)


def _cannot_import(error: HandlerImportError) -> NoReturn:
    failure = handler_import.boot_failure_of(error)
    standard_streams.show_on_stderr(failure.traceback.rstrip())
    raise console.CommandError(failure.error, failure.code)


def _check_preload(config: WorkerConfig) -> NoReturn:
    """Show the report and exit at once: a thread that the import has started would keep this process alive."""
    try:
        is_fine, lines = preload_check.check(config)
    except HandlerImportError as error:
        _cannot_import(error)
    except ConfigurationError as error:
        raise console.CommandError(str(error), exit_codes.CANNOT_BOOT) from None
    standard_streams.show_lines(logs.escape(line) for line in lines)
    orderly_exit.run_finalizers()
    os._exit(exit_codes.DRAINED if is_fine else exit_codes.CANNOT_PRELOAD)


def main() -> None:
    """The entry point."""
    standard_streams.open_closed()
    console.run(
        command, "bizzmq-worker", usage_code=exit_codes.USAGE, crash_code=exit_codes.INTERNAL_ERROR, streams=_guard
    )
