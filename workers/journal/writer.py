"""A worker's journal: the outcomes that it could not store in Redis, in a file that outlives the whole pool.

The file exists only while there are such outcomes. It appears complete and on disk, and its worker holds a lock on it
until the worker exits: an unlocked journal means that its worker is dead. The lock is a POSIX lock, because a process
that a handler forks would inherit a lock of flock(2) and keep it.
"""

from __future__ import annotations

import fcntl
import logging
import os
from dataclasses import replace
from pathlib import Path

from bizzmq.broker.workers import DeadWorker
from bizzmq.consumer.hooks import Journal
from bizzmq.errors import ConfigurationError
from bizzmq.utils import private_files
from bizzmq.utils.logs import log
from bizzmq.workers.journal.file_format import Entry, encode, is_expected, journal_name, probe_name, unfinished_name

_logger = logging.getLogger("bizzmq.worker")


def prepare_directory(directory: str) -> str:
    """Create the directory for journals if it does not exist, and check that it is usable and holds nothing else.

    Returns its absolute path.

    Raises:
        ConfigurationError: it is not usable.
    """
    try:
        with private_files.open_directory(Path(directory), create=True) as found:
            foreign = private_files.first_foreign(found.names(), is_expected)
            if not foreign:
                _check_writable(found)
                return str(found.path)
            problem = f"holds other files than journals, such as {foreign!r}: name a directory of its own"
    except private_files.RefusedError as error:
        problem = error.problem
    except OSError as error:
        problem = f"cannot be used: {error.strerror}"
    except ValueError:
        problem = "is not a path"
    raise ConfigurationError(f"the journal directory {directory!r} {problem}")


def _check_writable(directory: private_files.PrivateDirectory) -> None:
    """Write a file there, and remove it. Raises OSError."""
    name = probe_name(os.getpid())
    directory.discard(name)
    probe = _write(directory, name, b"")
    try:
        directory.remove(name, probe)
    finally:
        os.close(probe)


class WorkerJournal(Journal):
    """The journal of one worker.

    A failure to write is logged once. The journal is written again at the next failure to reach Redis; until then the
    outcome is only in memory, as it is without a journal.
    """

    def __init__(self, directory: str, worker: str, server: str) -> None:
        self._path = Path(directory) / journal_name(worker)
        self._worker = worker
        self._server = server
        self._settlements: dict[str, DeadWorker] = {}
        self._descriptor = -1
        self._is_written = True

    def keep(self, queue: str, settlement: DeadWorker) -> None:
        known = self._settlements.get(queue)
        if known is not None:
            settlement = replace(settlement, results={**known.results, **settlement.results})
            if not settlement.running:
                last_finished = settlement.last_finished or known.last_finished
                settlement = replace(known, last_finished=last_finished, results=settlement.results)
            elif not settlement.last_finished:
                settlement = replace(settlement, last_finished=known.last_finished)
            if self._is_written and (settlement.running, settlement.last_finished) == (
                known.running,
                known.last_finished,
            ):
                return
        self._settlements[queue] = settlement
        self._update()

    def clear(self, queue: str) -> None:
        if self._settlements.pop(queue, None) is not None:
            self._update()

    def _update(self) -> None:
        try:
            if self._settlements:
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
        unfinished = unfinished_name(name)
        with private_files.open_directory(self._path.parent) as directory:
            descriptor = -1
            try:
                descriptor = _write(directory, unfinished, encode(Entry(self._worker, self._server, self._settlements)))
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
            os.ftruncate(descriptor, 0)  # a file that cannot be removed must not settle anything
            with private_files.open_directory(self._path.parent) as directory:
                directory.remove(self._path.name, descriptor)
                directory.sync()
        finally:
            os.close(descriptor)


def _write(directory: private_files.PrivateDirectory, name: str, data: bytes) -> int:
    """Write a new file to disk. It is locked as long as the returned descriptor is open."""
    descriptor = directory.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written = 0
        while written < len(data):
            written += os.write(descriptor, data[written:])
        os.fsync(descriptor)
    except BaseException:  # also an exception of a signal handler, such as a time limit
        os.close(descriptor)
        raise
    return descriptor
