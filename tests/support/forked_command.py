"""The commands in a forked process: real streams and signals without the time for imports."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import tempfile
import termios
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Mapping, Optional, Sequence, Union

from bizzmq.cli.main import main as operator
from bizzmq.testing.wait import eventually
from bizzmq.workers.cli import main as worker

COMMANDS = {"bizzmq": operator, "bizzmq-worker": worker}
CLOSED = -1
"""Instead of a descriptor: the stream is closed."""
EOF, CTRL_C = b"\x04", b"\x03"


@dataclass(frozen=True)
class Finished:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Check that it succeeded; return its output, one JSON document."""
        assert (self.code, self.err) == (0, ""), self
        return json.loads(self.out)

    def lines(self) -> list[str]:
        """Check that it succeeded; return the lines of its output."""
        assert self.code == 0, self
        return self.out.splitlines()


class Forked:
    """`COMMAND ARGUMENTS` with only the settings in `env`. A context manager: leaving it ends the process.

    Args:
        streams: descriptors for stdin, stdout and stderr, or CLOSED.
        encoding: of stdout and stderr.
        command: one of COMMANDS.
        cwd: its current directory, if it is not the caller's.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        streams: Sequence[int],
        env: Mapping[str, str],
        *,
        encoding: str = "utf-8",
        command: str = "bizzmq",
        cwd: Optional[Path] = None,
    ) -> None:
        self.pid = os.fork()
        self._code: Optional[int] = None
        if self.pid == 0:
            _live([command, *arguments], streams, env, encoding, cwd)

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._code is None and self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self._code = _code_of(os.waitpid(self.pid, 0)[1])

    def poll(self) -> Optional[int]:
        """Its exit code, or the negative number of the signal that ended it; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = _code_of(status) if pid else None
        return self._code

    def code(self) -> int:
        eventually(lambda: self.poll() is not None, 30.0)
        assert self._code is not None
        return self._code


def _code_of(status: int) -> int:
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def bizzmq(
    *arguments: str,
    stdin: Union[int, bytes] = b"",
    stdout: Optional[int] = None,
    stderr: Optional[int] = None,
    encoding: str = "utf-8",
    command: str = "bizzmq",
    cwd: Optional[Path] = None,
    **env: str,
) -> Finished:
    """Run it to its end. Output to a descriptor of the caller is not in the result."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if isinstance(stdin, bytes):
            given.write(stdin)
            given.flush()
            given.seek(0)
        streams = [
            given.fileno() if isinstance(stdin, bytes) else stdin,
            out.fileno() if stdout is None else stdout,
            err.fileno() if stderr is None else stderr,
        ]
        with Forked(arguments, streams, env, encoding=encoding, command=command, cwd=cwd) as forked:
            code = forked.code()
        return Finished(code, _text(out, encoding), _text(err, encoding))


def _text(file: IO[bytes], encoding: str) -> str:
    file.seek(0)
    return file.read().decode(encoding)


class Terminal:
    """The command on a terminal of its own, 24 lines high. A context manager: leaving it ends the command."""

    def __init__(self, *arguments: str, columns: int = 80, blocking: bool = True, **env: str) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.set_blocking(other, blocking)
        self.forked = Forked(arguments, [other] * 3, env)
        os.close(other)
        self.screen = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_error: object) -> None:
        self.forked.__exit__()
        os.close(self._own)

    def _read(self) -> None:
        while select.select([self._own], [], [], 0)[0]:
            try:
                data = os.read(self._own, 65536)
            except OSError:  # the other side is closed
                return
            if not data:
                return
            self.screen += data.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Return when this text is on the screen."""

        def seen() -> bool:
            self._read()
            return text in self.screen

        eventually(seen, 30.0, lambda: self.screen)

    def type(self, keys: bytes) -> None:
        os.write(self._own, keys)

    def code(self) -> int:
        """The exit code of the command, once it has ended."""

        def ended() -> bool:
            self._read()
            return self.forked.poll() is not None

        eventually(ended, 30.0, lambda: self.screen)
        self._read()
        return self.forked.code()

    def lines(self) -> Sequence[str]:
        """The lines on the screen after a successful end."""
        assert self.code() == 0, self.screen
        return self.screen.replace("\r\n", "\n").splitlines()


def _live(
    command: Sequence[str], streams: Sequence[int], env: Mapping[str, str], encoding: str, cwd: Optional[Path]
) -> None:
    """The main function of the child; it ends like an interpreter."""
    code = 70
    try:
        os.setsid()
        _take(streams, encoding)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have started the tests
        for name in list(os.environ):
            if name.startswith(("BIZZMQ_", "REDIS_")) or name in ("COLUMNS", "LINES"):
                del os.environ[name]
        os.environ.update(env)
        if cwd is not None:
            os.chdir(cwd)
        sys.argv = list(command)
        try:
            COMMANDS[command[0]]()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except Exception:  # noqa: BLE001 - as an interpreter does
            traceback.print_exc()
            code = 1
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                code = 120
    finally:
        os._exit(code)


def _take(streams: Sequence[int], encoding: str) -> None:
    kept = [os.dup(descriptor) if descriptor != CLOSED else CLOSED for descriptor in streams]
    for number, descriptor in enumerate(kept):
        if descriptor == CLOSED:
            os.close(number)
        else:
            os.dup2(descriptor, number)
            os.close(descriptor)
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    opened: Any = [
        None if streams[number] == CLOSED else open(number, mode, encoding=encoding, closefd=False)  # noqa: SIM115
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    ]
    sys.stdin, sys.stdout, sys.stderr = opened
