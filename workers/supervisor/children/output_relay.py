"""The supervisor's handle on the relay: a child that copies what workers write to the pool's stdout and stderr.

Nobody waits for it. While it is stopped, or a terminal takes no more, workers go on to write into memory. If it dies,
the next one goes on where it was. It ends after the last process of the pool, also if the supervisor is killed before.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
from typing import Callable, Iterable, List, Sequence, Tuple

from bizzmq.utils import clock, readiness
from bizzmq.utils.logs import log
from bizzmq.workers import exit_codes
from bizzmq.workers.ipc.captured_output import CapturedOutput
from bizzmq.workers.ipc.channel import Channel
from bizzmq.workers.process import fork
from bizzmq.workers.process.child import ChildProcess, RestartDelay
from bizzmq.workers.process.title import Title

_logger = logging.getLogger("bizzmq.supervisor")
_SHORT_S, _LONG_S = 0.02, 0.1
_LAST_S = 2.0
"""How long the end of a pool waits for its terminal to take the rest."""
_MOST_BEHIND = 16 * 1024 * 1024
_CHUNK = 64 * 1024
_ROOM = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512
KEPT_BYTES = _CHUNK + 8192


class OutputRelay(ChildProcess):
    """Copies captured output.

    Args:
        slots: what each slot has captured.
        queues: those of the pool, for the title of the process.
    """

    def __init__(
        self, slots: Sequence[CapturedOutput], queues: Sequence[str], close_in_child: Callable[[], Iterable[int]]
    ) -> None:
        super().__init__(self._main, close_in_child)
        self._slots, self._queues = slots, queues
        self._lifeline: Tuple[int, int] = (-1, -1)
        self._restart = RestartDelay(_SHORT_S, 1.0)

    def start(self) -> None:
        """Start to copy. If that is not possible now, it is tried again later."""
        if self._lifeline == (-1, -1):
            self._lifeline = os.pipe()  # its writing end stays open in all processes of the pool
        try:
            self.fork()
        except OSError as error:
            self._restart.failed()
            log(_logger, logging.ERROR, "the relay of output could not be started", error=str(error))
        else:
            log(_logger, logging.INFO, "output relay started", pid=self.pid)

    def check(self) -> None:
        """Start another relay if it has died."""
        if self.pid and self.reap() is not None:
            self.close()
            wait_s = self._restart.failed()
            log(_logger, logging.ERROR, "the relay of output has died, starting another one", wait_s=round(wait_s, 3))
        if not self.pid and clock.monotonic() >= self._restart.at_s:
            self.start()

    def end(self) -> None:
        """Wait until all is copied: no worker is left."""
        if self._lifeline != (-1, -1):
            os.close(self._lifeline[1])
            until_s = clock.monotonic() + _LAST_S
            while self.pid and self.reap() is None and clock.monotonic() < until_s:
                clock.sleep(0.002)
            os.close(self._lifeline[0])
            self._lifeline = (-1, -1)
        self.kill()
        for slot in self._slots:
            for file in slot.files:
                os.close(file.descriptor)

    def _main(self, _channel: Channel) -> int:
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, *fork.OF_TERMINALS):
            signal.signal(number, signal.SIG_IGN)
        fork.unblock_signals()
        os.close(self._lifeline[1])
        Title("output relay", os.getppid(), self._queues).show("at work")
        poller = select.poll()
        poller.register(self._lifeline[0], select.POLLIN)
        relay, wait_s = Relay(self._slots), _SHORT_S
        while not poller.poll(wait_s * 1000):
            wait_s = _SHORT_S if relay.tick() else min(_LONG_S, 1.5 * wait_s)
        until_s = clock.monotonic() + _LAST_S
        while relay.tick(is_last=True) and clock.monotonic() < until_s:
            pass
        return exit_codes.DRAINED


class Relay:
    """Copies what is new in the files of all slots to descriptors 1 and 2."""

    def __init__(self, slots: Sequence[CapturedOutput]) -> None:
        self._sources = [(slot, index) for slot in slots for index in range(len(slot.files))]
        self._since_s = [math.inf] * len(self._sources)  # since when a source ends in the middle of a line
        self._torn: List[int] = [-1, -1]  # by stream: the source whose line was copied in part

    def tick(self, *, is_last: bool = False) -> bool:
        """Copy what is new; whether there was something."""
        has_copied = False
        for number, (slot, index) in enumerate(self._sources):
            behind = slot.files[index].end() - slot.relayed(index)
            if behind > 0:
                has_copied = self._copy(number, slot, index, behind, is_last=is_last) or has_copied
        return has_copied

    def _copy(self, number: int, slot: CapturedOutput, index: int, behind: int, *, is_last: bool) -> bool:
        file, position, stream = slot.files[index], slot.relayed(index), index + 1
        if self._torn[index] not in (-1, number) and not is_last:
            return False
        if behind > _MOST_BEHIND:
            position += behind - _MOST_BEHIND // 2
            _write(
                stream,
                b"\n... %d bytes of output are left out: they came too fast ...\n" % (behind - _MOST_BEHIND // 2),
            )
        data = file.read(position, _CHUNK)
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) < _CHUNK and not is_last:
            now_s = clock.monotonic()
            self._since_s[number] = min(self._since_s[number], now_s)
            if now_s - self._since_s[number] < _LONG_S:
                return False
        self._since_s[number] = math.inf
        data = data[: whole or len(data)]
        count = _write(stream, data)
        self._torn[index] = number if count < len(data) else -1
        slot.set_relayed(index, position + count)
        file.free(min(position + count, file.end() - KEPT_BYTES))
        return count > 0


def _write(stream: int, data: bytes) -> int:
    """Write as much as the stream takes without waiting; returns how much. What cannot be written is dropped."""
    done = 0
    while done < len(data) and readiness.is_writable(0.0, stream):
        try:
            done += os.write(stream, data[done : done + _ROOM])
        except BlockingIOError:
            break
        except OSError:
            return len(data)
    return done
