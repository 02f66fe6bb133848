"""The janitor's look at journals whose workers are gone: what they had finished is settled, not run again."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Collection, Iterator, Sequence

from bizzmq import clock
from bizzmq.broker import Broker
from bizzmq.errors import BizzMQError, DecodeError
from bizzmq.keys import whole_of
from bizzmq.logs import log
from bizzmq.workers.journal_file import LIMIT_BYTES, SUFFIX, Entry, decode, name_of

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
        for path in self._found(self._directory, skipped):
            if clock.monotonic() - started_s > self._share_s:
                break
            failures += self._visit(path, skipped).values()
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
        return self._visit(self._directory / name_of(worker), {}, of=worker) if self._directory is not None else {}

    def _found(self, directory: Path, skipped: dict[str, str]) -> list[Path]:
        try:
            names = sorted(os.listdir(directory))  # noqa: PTH208 - names are all that is wanted
        except OSError as error:
            skipped[str(directory)] = f"cannot be read: {error.strerror}"
            return []
        living = {name_of(worker) for worker in self._living()}
        for name in names:
            if name.startswith("."):
                _remove_unfinished(directory / name)
            elif not name.endswith(SUFFIX):
                skipped[name] = "it is no journal"
        return [directory / name for name in names if name.endswith(SUFFIX) and name[0] != "." and name not in living]

    def _visit(self, path: Path, skipped: dict[str, str], of: str = "") -> dict[str, BizzMQError]:
        """Settle one journal, and remove it then; returns the queues on which it could not be settled now."""
        try:
            with _held(path) as data:
                if data is None:
                    return {}  # its worker lives, or somebody else settles it
                if data:
                    entry = decode(data)
                    if name_of(entry.worker) != path.name:
                        raise DecodeError("it is not the journal that its name says")
                    if not of and not self._is_ours(entry, path):
                        return {}
                    unsettled = self._settle(entry)
                    if unsettled:
                        return unsettled
                path.unlink()
        except FileNotFoundError:
            pass
        except DecodeError as error:
            skipped[path.name] = str(error)
        except OSError as error:
            is_link = error.errno in (errno.ELOOP, errno.EMLINK)  # by O_NOFOLLOW
            skipped[path.name] = "it is a link" if is_link else error.strerror or str(error)
        return {}

    def _is_ours(self, entry: Entry, path: Path) -> bool:
        if entry.server == self._server and self._queues.issuperset(whole_of(queue) for queue in entry.owed):
            return True
        if path.name not in self._said:
            self._said.add(path.name)
            log(_logger, logging.INFO, "a journal is left to a pool of its own queues", path=str(path),
                server=entry.server, queues=",".join(sorted(entry.owed)))  # fmt: skip
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
        if skipped.keys() <= self._said:
            return
        self._said |= skipped.keys()
        name, why = next(iter(skipped.items()))
        log(_logger, logging.WARNING, "files in the journal directory were skipped", files=len(skipped), first=name,
            why=why)  # fmt: skip


@contextmanager
def _held(path: Path) -> Iterator[bytes | None]:
    """What stands in a journal, locked meanwhile; None if it is somebody's.

    Raises:
        DecodeError: it is no file of our own.
    """
    # For writing, since the lock wants that. What is no file is refused below; a FIFO would keep us waiting.
    descriptor = os.open(str(path), os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > LIMIT_BYTES:
            raise DecodeError("it is no journal")
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise DecodeError("it belongs to another user, or is open to others")
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            yield None
            return
        if os.lstat(path).st_ino != found.st_ino:
            yield None  # its worker has replaced it since
            return
        yield os.read(descriptor, LIMIT_BYTES)
    finally:
        os.close(descriptor)


def _remove_unfinished(path: Path) -> None:
    """What was being written when its writer was killed."""
    try:
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and time.time() - found.st_mtime > _UNFINISHED_S:
            path.unlink()
    except OSError:
        return
