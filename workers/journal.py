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

from bizzmq import files
from bizzmq.errors import ConfigurationError
from bizzmq.logs import log
from bizzmq.loop import Journal
from bizzmq.registry import Death
from bizzmq.workers.journal_file import Entry, encode, is_ours, name_of, probe_name, unfinished_of

_logger = logging.getLogger("bizzmq.worker")


def prepared(directory: str) -> str:
    """The absolute path of a directory for journals, created if it is not there.

    It holds nothing else, and has been tried.

    Raises:
        ConfigurationError: it cannot be used.
    """
    try:
        with files.open_directory(Path(directory), create=True) as found:
            foreign = files.first_foreign(found.names(), is_ours)
            if not foreign:
                _try(found)
                return str(found.path)
            problem = f"holds files that are no journals, {foreign!r} for one: name a directory of its own"
    except files.RefusedError as error:
        problem = error.problem
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
    except ValueError:
        problem = "is no path"
    raise ConfigurationError(f"the journal directory {directory!r} {problem}")


def _try(directory: files.PrivateDirectory) -> None:
    """Write a file there, and remove it."""
    name = probe_name(os.getpid())
    directory.discard(name)
    probe = _write(directory, name, b"")
    try:
        directory.remove(name, probe)
    finally:
        os.close(probe)


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
        name = self._path.name
        unfinished = unfinished_of(name)
        with files.open_directory(self._path.parent) as directory:
            descriptor = -1
            try:
                descriptor = _write(directory, unfinished, encode(Entry(self._worker, self._server, self._owed)))
                directory.rename(unfinished, name)
            except OSError:
                if descriptor >= 0:
                    directory.remove(unfinished, descriptor)
                    os.close(descriptor)
                raise
            old, self._descriptor = self._descriptor, descriptor
            if old >= 0:
                os.close(old)
            else:
                log(_logger, logging.INFO, "Redis is away, the outcome is kept in the journal", worker=self._worker,
                    path=str(self._path))  # fmt: skip
            directory.sync()

    def _remove(self) -> None:
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.ftruncate(descriptor, 0)  # should it not go away, it says nothing any more
            with files.open_directory(self._path.parent) as directory:
                directory.remove(self._path.name, descriptor)
                directory.sync()
        finally:
            os.close(descriptor)


def _write(directory: files.PrivateDirectory, name: str, data: bytes) -> int:
    """A new file on disk, locked as long as the returned descriptor is open."""
    descriptor = directory.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
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
