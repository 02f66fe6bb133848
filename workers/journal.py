"""A worker's journal: what it owes Redis while that is away, in a file that outlives the whole pool.

The file is there only while something is owed. It appears complete and on disk, under a lock that its worker holds
until its end: whoever finds it unlocked knows that the worker is gone. The lock is POSIX's and not flock's, since
what a handler forks would inherit that and hold it on.
"""

from __future__ import annotations

import fcntl
import logging
import os
from dataclasses import replace
from pathlib import Path

from bizzmq.errors import ConfigurationError
from bizzmq.logs import log
from bizzmq.loop import Journal
from bizzmq.registry import Death
from bizzmq.workers import private_directory
from bizzmq.workers.journal_file import Entry, encode, name_of

_logger = logging.getLogger("bizzmq.worker")


def prepared(directory: str) -> str:
    """The absolute path of a directory for journals, which is created if it is not there, and has been tried.

    Raises:
        ConfigurationError: it cannot be used.
    """
    path = Path(directory)
    try:
        broken = next((part for part in (path, *path.parents) if part.is_symlink() and not part.exists()), None)
        path = Path(os.path.realpath(directory))
        if broken is None and not path.exists():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = private_directory.problem(path) if broken is None else f"cannot be used: {broken} is a broken link"
        if not problem:
            probe = path / f".probe-{os.getpid()}"
            os.close(_write(probe, b""))
            probe.unlink()
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
    except ValueError:
        problem = "is no path"
    if problem:
        raise ConfigurationError(f"the journal directory {directory!r} {problem}")
    return str(path)


class WorkerJournal(Journal):
    """The journal of one worker.

    What cannot be written is said once, and tried again with the next failure to reach Redis: until then the outcome
    is in memory only, as it is without a journal.
    """

    def __init__(self, directory: str, worker: str, server: str) -> None:
        self._path = Path(directory) / name_of(worker)
        self._worker = worker
        self._server = server
        self._owed: dict[str, Death] = {}
        self._descriptor = -1
        self._is_written = True

    def keep(self, queue: str, owed: Death) -> None:
        known = self._owed.get(queue)
        if known is not None:
            if not owed.running:
                owed = replace(known, last_finished=owed.last_finished or known.last_finished)
            elif not owed.last_finished:
                owed = replace(owed, last_finished=known.last_finished)
            if self._is_written and (owed.running, owed.last_finished) == (known.running, known.last_finished):
                return
        self._owed[queue] = owed
        self._update()

    def clear(self, queue: str) -> None:
        if self._owed.pop(queue, None) is not None:
            self._update()

    def _update(self) -> None:
        try:
            if self._owed:
                self._replace()
            else:
                self._remove()
            self._is_written = True
        except OSError as error:
            if self._is_written:
                log(_logger, logging.WARNING, "the journal cannot be written", worker=self._worker,
                    path=str(self._path), error=str(error))  # fmt: skip
            self._is_written = False

    def _replace(self) -> None:
        unfinished = self._path.with_name(f".{self._path.name}.unfinished")
        descriptor = -1
        try:
            descriptor = _write(unfinished, encode(Entry(self._worker, self._server, self._owed)))
            unfinished.rename(self._path)
        except OSError:
            if descriptor >= 0:
                os.close(descriptor)
            unfinished.unlink(missing_ok=True)
            raise
        old, self._descriptor = self._descriptor, descriptor
        if old >= 0:
            os.close(old)
        else:
            log(_logger, logging.INFO, "Redis is away, the outcome is kept in the journal", worker=self._worker,
                path=str(self._path))  # fmt: skip
        _sync(self._path.parent)

    def _remove(self) -> None:
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.ftruncate(descriptor, 0)  # should it not go away, it says nothing any more
            self._path.unlink()
            _sync(self._path.parent)
        finally:
            os.close(descriptor)


def _write(path: Path, data: bytes) -> int:
    """A new file on disk, locked as long as the returned descriptor is open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(str(path), flags, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    except BaseException:  # also a signal's, such as a time limit's
        os.close(descriptor)
        raise
    return descriptor


def _sync(directory: Path) -> None:
    """Have a file's appearance or disappearance on disk, too."""
    descriptor = os.open(str(directory), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
