"""Documents and lines of JSON, as the commands read them: checked, and copied until all are known to be good."""

from __future__ import annotations

import codecs
import contextlib
import errno
import tempfile
from typing import IO, Any, Iterator

import click

from bizzmq.errors import ConfigurationError, DecodeError
from bizzmq.protocol.envelope import decode_body, encode_body
from bizzmq.utils.console import FAILED, CommandError

_BATCH = 1000
NO_ARGUMENTS = 'no object of arguments: write {"parameter": value, ...}'
_IN_MEMORY_BYTES = 64 * 1024 * 1024
_LINE_BYTES = 16 * 1024 * 1024
"""The longest line. A body of 1 MiB can be written with up to six times as many bytes, and with white space."""
_BOMS = {  # the longer ones first, because the mark of UTF-32 begins like the mark of UTF-16
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip


def read_document(text: str, where: str) -> Any:
    """A JSON document from the command line. Raises click.UsageError."""
    try:
        body = decode_body(text.lstrip("\ufeff").encode("utf-8", "surrogateescape"))
        encode_body(body)
    except DecodeError as error:
        raise click.UsageError(f"{where} is {error}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return body


def check(source: IO[bytes], checked: IO[bytes], first: int, *, takes_arguments: bool) -> int:
    """Check the lines from `first` on and copy them, also blank ones; returns the number of messages."""
    count = number = 0
    for number, line in enumerate(_lines(source), start=1):
        if number < first:
            continue
        stripped = line.strip()
        if stripped:
            try:
                body = decode_body(stripped)
                encode_body(body)
                if takes_arguments and not isinstance(body, dict):
                    raise click.UsageError(f"line {number} is {NO_ARGUMENTS}; nothing was published")
            except ValueError as error:
                raise click.UsageError(f"line {number}: {error}; nothing was published") from None
            count += 1
        with _spooling():
            checked.write(stripped + b"\n")
    if number < first - 1:
        raise click.UsageError(f"--resume-from {first}, but there are {number} lines; nothing was published")
    with _spooling():
        checked.seek(0)
    return count


@contextlib.contextmanager
def spool() -> Iterator[IO[bytes]]:
    """A temporary file for the lines, in memory while it is small."""
    copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - see how it is closed
    try:
        yield copy
    finally:
        with contextlib.suppress(OSError):  # closing tries again to write what could not be written
            copy.close()


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return "a temporary directory"


@contextlib.contextmanager
def _spooling() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"the lines cannot be stored in {_temporary()} while they are checked: {error.strerror}; "
            "nothing was published (set TMPDIR to another directory)",
            FAILED,
        ) from None


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    """The lines of standard input, without a byte order mark.

    Raises:
        ConfigurationError: it cannot be read, or is not UTF-8.
        click.UsageError: a line is too long.
    """
    number = 0
    while True:
        try:
            line = source.readline(_LINE_BYTES)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"standard input cannot be read: {_why(error)}; nothing was published") from None
        number += 1
        if number == 1:
            for mark, name in _BOMS.items():
                if line.startswith(mark):
                    raise ConfigurationError(f"standard input is {name}, it must be UTF-8; nothing was published")
            if line.startswith(codecs.BOM_UTF8):
                line = line[len(codecs.BOM_UTF8) :] or b"\n"
        if not line:
            return
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            raise click.UsageError(f"line {number} is longer than {_LINE_BYTES >> 20} MiB; nothing was published")
        yield line


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        closed = error.errno == errno.EBADF
        return "it is closed" if closed else str(error.strerror or error)
    return "it is closed"


def batches(lines: IO[bytes], first: int) -> Iterator[tuple[list[int], list[Any]]]:
    """The lines in batches: their numbers, and their bodies."""
    numbers: list[int] = []
    bodies: list[Any] = []
    for number, line in enumerate(lines, start=first):
        if line == b"\n":
            continue
        numbers.append(number)
        bodies.append(decode_body(line))
        if len(bodies) == _BATCH:
            yield numbers, bodies
            numbers, bodies = [], []
    if bodies:
        yield numbers, bodies
