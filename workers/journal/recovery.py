"""Recovery from journals: the janitor settles what dead workers have finished, so that it is not run again."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Collection, Iterator, Sequence

from bizzmq.broker.broker import Broker
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.protocol.keys import logical_queue
from bizzmq.utils import clock, private_files
from bizzmq.utils.logs import log
from bizzmq.workers.journal.file_format import LIMIT_BYTES, Entry, decode, is_journal, is_unfinished, journal_name

_logger = logging.getLogger("bizzmq.janitor")
_UNFINISHED_S = 60.0
"""The age at which an unfinished journal is removed, seconds."""


class JournalRecovery:
    """Settles the journals of dead workers.

    It uses the same transition as for any dead worker, which is fenced by the worker's registration. So a journal acks
    only what its worker holds, and nothing once the worker's messages have been requeued.

    Args:
        directory: the directory of journals; "" without one.
        server: the pool's server, as of `server_of`; journals of other servers are left alone.
        queues: the pool's queues; a journal that names another queue is left to a pool that has it.
        living: returns the pool's live workers, whose journals are left alone.
        interval_s: time between two scans, seconds.
        budget_s: time that one scan may take, seconds; the janitor has to send heartbeats meanwhile.
    """

    def __init__(
        self,
        directory: str,
        broker: Broker,
        server: str,
        queues: Sequence[str],
        living: Callable[[], Collection[str]],
        interval_s: float,
        budget_s: float,
    ) -> None:
        self._directory = Path(directory) if directory else None
        self._broker = broker
        self._server = server
        self._queues = frozenset(queues)
        self._living = living
        self._interval_s = interval_s
        self._budget_s = budget_s
        self._next_s = clock.monotonic()
        self._logged: set[str] = set()

    def tick(self) -> None:
        """Scan the directory if a scan is due.

        Raises:
            BizzMQError: some journals could not be settled; the next call tries again.
        """
        started_s = clock.monotonic()
        if self._directory is None or started_s < self._next_s:
            return
        skipped: dict[str, str] = {}
        failures: list[BizzMQError] = []
        for name in self._scan(self._directory, skipped):
            if clock.monotonic() - started_s > self._budget_s:
                break
            failures += self._visit(name, skipped).values()
        else:
            self._next_s = started_s + self._interval_s
        self._log_skipped(skipped)
        if failures:
            self._next_s = started_s
            raise failures[-1]

    def settle(self, worker: str) -> dict[str, BizzMQError]:
        """Settle the journal of a dead worker, if it has left one.

        Returns the queues on which that failed, each with the error. The caller must repeat the call before it settles
        the worker there in another way, because the journal knows more.
        """
        return self._visit(journal_name(worker), {}, of=worker)

    def _scan(self, path: Path, skipped: dict[str, str]) -> list[str]:
        """The names of the journals of workers that are not alive. Removes unfinished journals."""
        try:
            with private_files.open_directory(path) as directory:
                names = directory.names()
                for name in names:
                    if is_unfinished(name):
                        _remove_unfinished(directory, name, skipped)
                    elif private_files.first_foreign([name], is_journal):
                        skipped[name] = "it is not a journal"
        except OSError as error:
            skipped[str(path)] = _problem(error)
            return []
        living = {journal_name(worker) for worker in self._living()}
        return [name for name in names if is_journal(name) and name not in living]

    def _visit(self, name: str, skipped: dict[str, str], of: str = "") -> dict[str, BizzMQError]:
        """Settle one journal and remove it. Returns the queues on which that failed, each with the error."""
        if self._directory is None:
            return {}
        try:
            with private_files.open_directory(self._directory) as directory, _locked(directory, name) as (
                descriptor,
                data,
            ):
                if data is None:
                    return {}  # its worker is alive, or another janitor settles it
                if data:
                    entry = decode(data)
                    if journal_name(entry.worker) != name:
                        raise DecodeError("its name belongs to another worker")
                    if not of and not self._is_ours(entry, name):
                        return {}
                    unsettled = self._settle(entry)
                    if unsettled:
                        return unsettled
                directory.remove(name, descriptor)
        except FileNotFoundError:
            pass
        except DecodeError as error:
            skipped[name] = str(error)
        except OSError as error:
            skipped[name] = _problem(error)
        return {}

    def _is_ours(self, entry: Entry, name: str) -> bool:
        queues = {logical_queue(queue) for queue in entry.settlements}
        if entry.server == self._server and queues <= self._queues:
            return True
        if name not in self._logged:
            self._logged.add(name)
            log(_logger, logging.INFO, "a journal is left to a pool of its own queues",
                path=f"{self._directory}/{name}", server=entry.server,
                queues=",".join(sorted(entry.settlements)))  # fmt: skip
        return False

    def _settle(self, entry: Entry) -> dict[str, BizzMQError]:
        requeued = acked = registered = 0
        unsettled: dict[str, BizzMQError] = {}
        for queue, dead in entry.settlements.items():
            try:
                done = self._broker.requeue(queue, entry.worker, dead)
            except BizzMQError as error:
                unsettled[queue] = error
                continue
            if done is not None:
                registered += 1
                requeued, acked = requeued + done.requeued, acked + done.acked
        if registered:
            log(_logger, logging.INFO, "a journal was settled, its worker is gone", worker=entry.worker, acked=acked,
                requeued=requeued)  # fmt: skip
        if not registered and not unsettled:
            log(_logger, logging.WARNING, "a journal was dropped, its worker is not registered any more",
                worker=entry.worker, queues=",".join(sorted(entry.settlements)))  # fmt: skip
        return unsettled

    def _log_skipped(self, skipped: dict[str, str]) -> None:
        """Log skipped files once, and again only when there are new ones."""
        new = [name for name in skipped if name not in self._logged]
        if not new:
            return
        self._logged.update(new)
        log(_logger, logging.WARNING, "files in the journal directory were skipped", files=len(skipped), first=new[0],
            why=skipped[new[0]])  # fmt: skip


@contextmanager
def _locked(directory: private_files.PrivateDirectory, name: str) -> Iterator[tuple[int, bytes | None]]:
    """Lock a journal; yields its descriptor and its content, which is None if another process holds the lock.

    Raises:
        DecodeError: it is too large.
        OSError: the file is not a private file of this user.
    """
    descriptor = directory.open(name, os.O_RDWR)  # the lock needs a descriptor that is open for writing
    try:
        if os.fstat(descriptor).st_size > LIMIT_BYTES:
            raise DecodeError("it is too large for a journal")
        # Its worker may have replaced it meanwhile.
        is_free = _lock(descriptor) and directory.is_still(name, descriptor)
        yield descriptor, os.read(descriptor, LIMIT_BYTES) if is_free else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file without waiting; False if another process holds the lock."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _remove_unfinished(directory: private_files.PrivateDirectory, name: str, skipped: dict[str, str]) -> None:
    """Remove a file whose writer was killed, if it is old, unlocked, and a private file of this user."""
    try:
        descriptor = directory.open(name, os.O_RDWR)
    except FileNotFoundError:
        return
    except OSError as error:
        skipped[name] = _problem(error)
        return
    try:
        if time.time() - os.fstat(descriptor).st_mtime > _UNFINISHED_S and _lock(descriptor):
            directory.remove(name, descriptor)
    finally:
        os.close(descriptor)


def _problem(error: OSError) -> str:
    """The problem, as a sentence for the log."""
    return f"it {error.problem}" if isinstance(error, private_files.RefusedError) else error.strerror or str(error)
