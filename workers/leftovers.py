"""The janitor's look at journals whose workers are gone: what they had finished is settled, not run again."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Collection, Iterator, Sequence

from bizzmq import clock, files
from bizzmq.broker import Broker
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.keys import whole_of
from bizzmq.logs import log
from bizzmq.workers.journal_file import LIMIT_BYTES, Entry, decode, is_journal, is_unfinished, name_of

_logger = logging.getLogger("bizzmq.janitor")
_UNFINISHED_S = 60.0
"""What is older and still under a name to come belongs to nobody."""


class Leftovers:
    """Settles journals by the transition that settles any dead worker, whose fence is the worker's registration.

    So a journal acks nothing but what its worker holds, and nothing at all once others have taken that over.

    Args:
        directory: where journals are; "" if there are none.
        server: which one this pool works with; journals of another one are left alone.
        queues: the pool's; journals that name another queue are left to a pool that works on it.
        living: the pool's own workers that are not to be touched.
        look_s: seconds between two looks.
        share_s: how long one look may take, since the janitor has to beat meanwhile.
    """

    def __init__(
        self,
        directory: str,
        broker: Broker,
        server: str,
        queues: Sequence[str],
        living: Callable[[], Collection[str]],
        look_s: float,
        share_s: float,
    ) -> None:
        self._directory = Path(directory) if directory else None
        self._broker = broker
        self._server = server
        self._queues = frozenset(queues)
        self._living = living
        self._look_s = look_s
        self._share_s = share_s
        self._next_s = clock.monotonic()
        self._said: set[str] = set()

    def tick(self) -> None:
        """Look, if it is time to.

        Raises:
            BizzMQError: some could not be settled now; they are tried again by the next call.
        """
        started_s = clock.monotonic()
        if self._directory is None or started_s < self._next_s:
            return
        skipped: dict[str, str] = {}
        failures: list[BizzMQError] = []
        for name in self._found(self._directory, skipped):
            if clock.monotonic() - started_s > self._share_s:
                break
            failures += self._visit(name, skipped).values()
        else:
            self._next_s = started_s + self._look_s
        self._say(skipped)
        if failures:
            self._next_s = started_s
            raise failures[-1]

    def settle(self, worker: str) -> dict[str, BizzMQError]:
        """Settle one worker that is gone, if it has left a journal.

        Returns the queues that this could not be done on now, and why. They have to be told by another call before
        they are told anything else of this worker: it knows more than anybody.
        """
        return self._visit(name_of(worker), {}, of=worker)

    def _found(self, path: Path, skipped: dict[str, str]) -> list[str]:
        """The journals of workers that do not live; what was never finished is removed."""
        try:
            with files.open_directory(path) as directory:
                names = directory.names()
                for name in names:
                    if is_unfinished(name):
                        _remove_unfinished(directory, name, skipped)
                    elif files.first_foreign([name], is_journal):
                        skipped[name] = "it is no journal"
        except OSError as error:
            skipped[str(path)] = _why(error)
            return []
        living = {name_of(worker) for worker in self._living()}
        return [name for name in names if is_journal(name) and name not in living]

    def _visit(self, name: str, skipped: dict[str, str], of: str = "") -> dict[str, BizzMQError]:
        """Settle one journal, and remove it then; returns the queues on which it could not be settled now."""
        if self._directory is None:
            return {}
        try:
            with files.open_directory(self._directory) as directory, _held(directory, name) as (descriptor, data):
                if data is None:
                    return {}  # its worker lives, or somebody else settles it
                if data:
                    entry = decode(data)
                    if name_of(entry.worker) != name:
                        raise DecodeError("it is not the journal that its name says")
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
            skipped[name] = _why(error)
        return {}

    def _is_ours(self, entry: Entry, name: str) -> bool:
        if entry.server == self._server and self._queues.issuperset(whole_of(queue) for queue in entry.owed):
            return True
        if name not in self._said:
            self._said.add(name)
            log(_logger, logging.INFO, "a journal is left to a pool of its own queues",
                path=f"{self._directory}/{name}", server=entry.server, queues=",".join(sorted(entry.owed)))  # fmt: skip
        return False

    def _settle(self, entry: Entry) -> dict[str, BizzMQError]:
        requeued = acked = registered = 0
        unsettled: dict[str, BizzMQError] = {}
        for queue, death in entry.owed.items():
            try:
                done = self._broker.requeue(queue, entry.worker, death)
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
                worker=entry.worker, queues=",".join(sorted(entry.owed)))  # fmt: skip
        return unsettled

    def _say(self, skipped: dict[str, str]) -> None:
        """One warning, and another one only when there is more to it."""
        new = [name for name in skipped if name not in self._said]
        if not new:
            return
        self._said.update(new)
        log(_logger, logging.WARNING, "files in the journal directory were skipped", files=len(skipped), first=new[0],
            why=skipped[new[0]])  # fmt: skip


@contextmanager
def _held(directory: files.PrivateDirectory, name: str) -> Iterator[tuple[int, bytes | None]]:
    """A journal's descriptor, and what stands in it, locked meanwhile; None if it is somebody's.

    Raises:
        DecodeError: it is too large.
        OSError: the file is not one of ours.
    """
    descriptor = directory.open(name, os.O_RDWR)  # for writing, since the lock wants that
    try:
        if os.fstat(descriptor).st_size > LIMIT_BYTES:
            raise DecodeError("it is no journal")
        # Its worker may have replaced it since.
        is_free = _lock(descriptor) and directory.is_still(name, descriptor)
        yield descriptor, os.read(descriptor, LIMIT_BYTES) if is_free else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Whether nobody held it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _remove_unfinished(directory: files.PrivateDirectory, name: str, skipped: dict[str, str]) -> None:
    """What was being written when its writer was killed. A name alone proves nothing: the file has to be ours."""
    try:
        descriptor = directory.open(name, os.O_RDWR)
    except FileNotFoundError:
        return
    except OSError as error:
        skipped[name] = _why(error)
        return
    try:
        if time.time() - os.fstat(descriptor).st_mtime > _UNFINISHED_S and _lock(descriptor):
            directory.remove(name, descriptor)
    finally:
        os.close(descriptor)


def _why(error: OSError) -> str:
    """As the rest of a sentence, or a sentence."""
    return f"it {error.problem}" if isinstance(error, files.RefusedError) else error.strerror or str(error)
