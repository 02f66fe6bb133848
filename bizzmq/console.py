"""What both commands share: the server's address, and errors as one clear line."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any, Callable, NoReturn, TypeVar

import click

from bizzmq import secret_files
from bizzmq.errors import BizzMQError, BrokerUnavailableError, ConfigurationError
from bizzmq.log_stream import LineWriter

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "redis://localhost:6379/0"
URL_FILE = "BIZZMQ_REDIS_URL_FILE"
UNAVAILABLE = 1


def redis_url(*variables: str) -> Callable[[F], F]:
    """The option `--redis-url`; the given environment variables come before the common ones."""
    return click.option(
        "--redis-url",
        envvar=[*variables, "BIZZMQ_REDIS_URL"],
        default=_elsewhere,
        metavar="URL",
        help="redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, or embedded:// for a private server; "
        f"also from BIZZMQ_REDIS_URL, the file that {URL_FILE} names, or REDIS_URL.  [default: {DEFAULT_URL}]",
    )


def _elsewhere() -> str:
    """The address if nobody named one for BizzMQ: from a file that holds it, or what the platform says."""
    path = os.environ.get(URL_FILE)
    return secret_files.read(Path(path)) if path else os.environ.get("REDIS_URL") or DEFAULT_URL


def stated(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Refuse an option that is left empty, as by an unset variable of a shell. As a callback of click's."""
    if value is not None and not value.strip():
        raise click.BadParameter("it is empty; leave the option out, or give it a value")
    return value


def open_standard_streams() -> None:
    """Put /dev/null where stdin, stdout or stderr are closed, before anything else gets their numbers."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", buffering=1, errors="backslashreplace"))


def run(command: click.Command, name: str, *, usage_code: int = 2, crash_code: int = 70) -> NoReturn:
    """Run a command and exit: bad input is one line on stderr, never a traceback of ours.

    Exit codes: what the command returns; `usage_code` for wrong input; 1 for a server that is unavailable
    or refuses; 130 for an interrupt; `crash_code` for a defect of this program, whose traceback is shown.
    """
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.Abort:
        fail(name, "interrupted", 130)
    except click.ClickException as error:
        hint = f" (see {name} --help)" if isinstance(error, click.UsageError) else ""
        fail(name, error.format_message().replace("\n", " ") + hint, usage_code)
    except ConfigurationError as error:
        fail(name, str(error), usage_code)
    except BrokerUnavailableError as error:
        fail(name, f"Redis is unavailable: {error}", UNAVAILABLE)
    except BizzMQError as error:
        fail(name, str(error), UNAVAILABLE)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(UNAVAILABLE)
    except KeyboardInterrupt:
        fail(name, "interrupted", 130)
    except Exception:  # noqa: BLE001 - the last resort: shown whole, with a code of its own
        traceback.print_exc()
        fail(name, "this is a defect of the program; please report it with the lines above", crash_code)
    sys.exit(code if isinstance(code, int) else 0)


def say(text: str) -> None:
    """Write to stderr, beside the log, without waiting for whoever reads it."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file at all
        click.echo(text, err=True)
    else:
        LineWriter(descriptor).write(text.encode("utf-8", "backslashreplace") + b"\n")


def fail(name: str, text: str, code: int) -> NoReturn:
    """Say one line on stderr and exit."""
    click.echo(f"{name}: {text}", err=True)
    sys.exit(code)
