"""What both commands share: the server's address, and errors as one clear line."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any, Callable, NoReturn, TypeVar

import click

from bizzmq import logs, redaction, server_url
from bizzmq.errors import (
    BizzMQError,
    BrokerUnavailableError,
    BrokerUnusableError,
    ConfigurationError,
    QueueNotFoundError,
)
from bizzmq.streams import GuardedStreams, OutputError, say

F = TypeVar("F", bound=Callable[..., Any])

FAILED = 1
INTERRUPTED = 130


def redis_url(*variables: str) -> Callable[[F], F]:
    """The option `--redis-url`; the given environment variables come before the common ones."""
    return click.option(
        "--redis-url",
        envvar=[*variables, server_url.VARIABLE],
        default=server_url.from_environment,
        metavar="URL",
        help="redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, or embedded:// for a private server; "
        f"also from {server_url.VARIABLE}, the file that {server_url.FILE_VARIABLE} names, or "
        f"{server_url.COMMON_VARIABLE}.  [default: {server_url.DEFAULT_URL}]",
    )


def stated(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Refuse an option that is left empty, as by an unset variable of a shell. As a callback of click's."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; leave the option out, or give it a value")
    return value


class CommandError(BizzMQError):
    """What a command could not do, or not all of it, in words; the command exits with `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Group(click.Group):
    """Commands of which one must be named: without one, the help is shown."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # as a shell's completion parses
            raise _NoCommand(ctx.get_help())
        return super().parse_args(ctx, args)


class _NoCommand(Exception):  # noqa: N818 - not an error but a question
    """A group of commands was called without one. Its text is the help."""


def run(
    command: click.Command,
    name: str,
    *,
    usage_code: int = 2,
    crash_code: int = 70,
    streams: GuardedStreams | None = None,
) -> NoReturn:
    """Run a command and exit: bad input is one line on stderr, never a traceback of ours.

    Exit codes: what the command returns; `usage_code` for wrong input, and for a server that no waiting mends; 1 for a
    server that is unavailable or refuses, and for output that cannot be written; 130 for an interrupt; `crash_code` for
    a defect of this program, whose traceback is shown.
    """
    with streams or GuardedStreams():
        code, text = _outcome(command, name, usage_code, crash_code)
        try:
            sys.stdout.flush()
        except OutputError as error:
            code, text = code or FAILED, text or f"{name}: {unwritable(error)}"
        if text:
            say(text)
    sys.exit(code)


def _outcome(command: click.Command, name: str, usage_code: int, crash_code: int) -> tuple[int, str]:  # noqa: C901, PLR0911 - a table
    """The exit code, and what is to be said on stderr."""
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else int(end.code is not None)), ""
    except _NoCommand as question:
        return usage_code, str(question)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED, _line(name, "interrupted")
    except click.ClickException as error:
        hint = f" (see {name} --help)" if isinstance(error, click.UsageError) else ""
        return usage_code, _line(name, error.format_message().replace("\n", " ") + hint)
    except ConfigurationError as error:
        return usage_code, _line(name, str(error))
    except CommandError as error:
        return error.code, _line(name, str(error))
    except QueueNotFoundError as error:
        return FAILED, _line(name, _missing(error.queue))
    except BrokerUnusableError as error:
        return usage_code, _line(name, f"Redis cannot be used: {error}")
    except BrokerUnavailableError as error:
        return FAILED, _line(name, f"Redis is unavailable: {error}")
    except BizzMQError as error:
        return FAILED, _line(name, str(error))
    except OutputError as error:
        return FAILED, "" if error.errno == errno.EPIPE else _line(name, unwritable(error))
    except Exception:  # noqa: BLE001 - the last resort: shown whole, with a code of its own
        defect = _line(name, "this is a defect of the program; please report it with the lines above")
        return crash_code, traceback.format_exc() + defect
    return (code if isinstance(code, int) else 0), ""


def _line(name: str, text: str) -> str:
    return f"{name}: {logs.escape(redaction.without_addresses(text))}"


def unwritable(error: OutputError) -> str:
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    return f"standard output cannot be written: {reason}"


def _missing(queue: str) -> str:
    name = queue.partition(":")[0]
    owner = name[: -len("_dlq")] if name.endswith("_dlq") else name
    return (
        f"queue {name!r} does not exist (bizzmq queues lists those that do); create it: "
        f"bizzmq queue create {owner}, or bizzmq publish --create {owner}"
    )
