"""Shared parts of both commands: the option `--redis-url`, and errors as one line on stderr."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any, Callable, Container, NoReturn, TypeVar

import click

from bizzmq.errors import (
    BizzMQError,
    BrokerUnavailableError,
    BrokerUnusableError,
    ConfigurationError,
    QueueNotFoundError,
)
from bizzmq.utils import logs, redaction, server_url
from bizzmq.utils.standard_streams import GuardedStreams, OutputError, show_on_stderr

F = TypeVar("F", bound=Callable[..., Any])

FAILED = 1
INTERRUPTED = 130
_LONGEST_LINE = 2_000
"""Characters of an error: it may quote what the user has written."""


def redis_url() -> Callable[[F], F]:
    """The option `--redis-url`."""
    return click.option(
        "--redis-url",
        envvar=server_url.VARIABLE,
        default=server_url.from_environment,
        metavar="URL",
        help=f"{server_url.HELP}  [default: {server_url.DEFAULT_URL}]",
    )


def not_empty(context: click.Context, param: click.Parameter, value: Any) -> Any:
    """A callback of click that refuses an empty value, for example from an unset variable of a shell."""
    is_default = context.get_parameter_source(param.name or "") is click.core.ParameterSource.DEFAULT
    texts = value if isinstance(value, (list, tuple)) else [value]
    if not is_default and any(isinstance(text, str) and not text.strip() for text in texts):
        is_option = isinstance(param, click.Option)
        raise click.BadParameter("it is empty" + ("; omit the option, or give it a value" if is_option else ""))
    return value


def refuse_empty_texts(command: click.Command, may_be_empty: Container[str] = ()) -> None:
    """Let all options of a command and its subcommands that take any text, and all ids, refuse an empty one.

    An empty filter would select everything: `bizzmq cancel --queue mail --task "$TASK"` with an unset variable.

    Args:
        may_be_empty: names of parameters that may be empty.
    """
    for one in command.commands.values() if isinstance(command, click.Group) else ():
        refuse_empty_texts(one, may_be_empty)
    for param in command.params:
        is_meant = isinstance(param, click.Option) or (param.name or "").endswith(("_id", "_ids"))
        if is_meant and param.type is click.STRING and param.callback is None and param.name not in may_be_empty:
            param.callback = not_empty


class CommandError(BizzMQError):
    """A command failed, or did only a part of its work; it exits with `code`."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


class Group(click.Group):
    """A group of commands that shows its help if no command is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:  # resilient: a shell completes the command line
            raise _NoCommand(ctx.get_help())
        return super().parse_args(ctx, args)


class _NoCommand(Exception):  # noqa: N818 - not an error but a request for help
    """A group was called without a command. The text is the help."""


def run(
    command: click.Command,
    name: str,
    *,
    usage_code: int = 2,
    crash_code: int = 70,
    streams: GuardedStreams | None = None,
) -> NoReturn:
    """Run a command and exit. An expected error is one line on stderr, never a traceback.

    Exit codes: the command's return value; `usage_code` for invalid input, and for a server that waiting does not
    cure; 1 for an unavailable server, and for output that cannot be written; 130 for an interrupt; `crash_code` for a
    bug in this program, with its traceback.
    """
    with streams or GuardedStreams():
        code, text = _outcome(command, name, usage_code, crash_code)
        try:
            sys.stdout.flush()
        except OutputError as error:
            code, text = code or FAILED, text or f"{name}: {unwritable(error)}"
        if text:
            show_on_stderr(text)
    sys.exit(code)


def _outcome(command: click.Command, name: str, usage_code: int, crash_code: int) -> tuple[int, str]:  # noqa: C901, PLR0911 - a table
    """The exit code, and the text for stderr."""
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else int(end.code is not None)), ""
    except _NoCommand as request:
        return usage_code, str(request)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return INTERRUPTED, _line(name, "interrupted")
    except click.ClickException as error:
        return usage_code, _line(name, error.format_message().replace("\n", " ") + _hint(command, error, name))
    except ConfigurationError as error:
        return usage_code, _line(name, str(error))
    except CommandError as error:
        return error.code, _line(name, str(error))
    except QueueNotFoundError as error:
        return FAILED, _line(name, _missing_queue(error.queue))
    except BrokerUnusableError as error:
        return usage_code, _line(name, f"Redis cannot be used: {error}")
    except BrokerUnavailableError as error:
        return FAILED, _line(name, f"Redis is unavailable: {error}")
    except BizzMQError as error:
        return FAILED, _line(name, str(error))
    except OutputError as error:
        return FAILED, "" if error.errno == errno.EPIPE else _line(name, unwritable(error))
    except Exception:  # noqa: BLE001 - the last resort: shown in full, with its own exit code
        defect = _line(name, "this is a bug in the program; please report it with the lines above")
        return crash_code, traceback.format_exc() + defect
    return (code if isinstance(code, int) else 0), ""


def _hint(command: click.Command, error: click.ClickException, name: str) -> str:
    if isinstance(error, click.NoSuchOption) and any(error.option_name in one.opts for one in command.params):
        return f" It goes before the command: {name} {error.option_name} ... COMMAND"
    return f" (see {name} --help)" if isinstance(error, click.UsageError) else ""


def _line(name: str, text: str) -> str:
    return f"{name}: {logs.cut(logs.escape(redaction.without_addresses(text)), _LONGEST_LINE)}"


def unwritable(error: OutputError) -> str:
    """The end of an error's text: why standard output cannot be written."""
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror
    return f"standard output cannot be written: {reason}"


def _missing_queue(queue: str) -> str:
    name, is_shard, _ = queue.partition(":")
    if is_shard:
        return (
            f"there is no shard {queue!r}: {name!r} has fewer shards, or has lost this one; "
            f"bizzmq queue create {name} creates it again"
        )
    owner = name[: -len("_dlq")] if name.endswith("_dlq") else name
    return (
        f"queue {name!r} does not exist (bizzmq queues lists all queues); create it: "
        f"bizzmq queue create {owner}, or bizzmq publish --create {owner}"
    )
