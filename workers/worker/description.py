"""What the pool of an app has to know before it starts: its queues and their options, found out by a child process.

The supervisor runs no user code. So a short-lived child imports the handler, sends what it finds through a channel of
its own, and ends, with all processes that the import has started. What the import prints is not shown, because the pool
imports once more.
"""

from __future__ import annotations

import os
import select
import signal
import tempfile
from dataclasses import dataclass, replace
from typing import IO, Any, Mapping, Optional, Union

from bizzmq.app.description import AppDescription
from bizzmq.consumer.handlers import loader as handler_loader
from bizzmq.consumer.handlers.loader import HandlerImportError
from bizzmq.errors import BizzMQError, ConfigurationError
from bizzmq.protocol.keys import QueueKeys, logical_queue
from bizzmq.utils import clock, detached, server_url
from bizzmq.workers import exit_codes
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.ipc.channel import Channel, Direction
from bizzmq.workers.ipc.janitor_messages import Described
from bizzmq.workers.ipc.worker_exit import ExitStatus
from bizzmq.workers.ipc.worker_messages import BootFailure
from bizzmq.workers.option_values import DEFAULT_QUEUES
from bizzmq.workers.process import fork, syscalls
from bizzmq.workers.process.child import fork_with_channel
from bizzmq.workers.process.descendants import Descendants
from bizzmq.workers.worker import handler_import, orderly_exit, plain_handler

_EXIT_S = 1.0
"""How long the child may take to remove its temporary files, before it is killed."""
_LOOK_MS = 50
"""The interval at which the child's death is checked, milliseconds."""
_SHOWN_BYTES = 65536
_FROM_CHILD: Direction[Union[Described, BootFailure]] = Direction(Described, BootFailure)


class DescriptionError(BizzMQError):
    """The handler cannot be imported. `failure` says why, and `printed` is what the import has printed."""

    def __init__(self, failure: BootFailure, printed: str) -> None:
        super().__init__(failure.error)
        self.failure, self.printed = failure, printed


def described_if_possible(config: WorkerConfig) -> WorkerConfig:
    """As `described`, but a handler that cannot be imported leaves the configuration as it is.

    Then the pool's own first import fails as well, and says so as for any handler. Raises ConfigurationError.
    """
    try:
        return described(config)
    except DescriptionError:
        return config


def described(config: WorkerConfig) -> WorkerConfig:
    """The configuration with what the handler's app declares: its queues and its server, unless they are chosen.

    The configuration of a plain handler stays as it is, and its module is not imported if its source shows that it is
    one.

    Raises:
        ConfigurationError: a chosen queue does not belong to the app.
        DescriptionError: the handler cannot be imported.
    """
    if config.description is not None:
        return config
    if not isinstance(config.handler, str):
        data = handler_import.description_of(handler_loader.handler_of(config.handler))
    elif plain_handler.is_certain(config.handler, config.directory):
        data = None
    else:
        data = _Import(config).data()
    return config if data is None else completed(config, AppDescription.of_data(data))


def completed(config: WorkerConfig, app: AppDescription) -> WorkerConfig:
    """The configuration of a pool for this app. Raises ConfigurationError."""
    queues = config.queues
    if queues is DEFAULT_QUEUES:
        queues = list(app.queues)
    for queue in queues:
        if not {queue, logical_queue(queue), QueueKeys(queue).owner} & {*app.queues}:
            raise ConfigurationError(f"the app has no queue {queue!r}; it has {', '.join(app.queues)}")
    url = config.redis_url
    if url is server_url.DEFAULT_URL and app.redis_url:
        url = app.redis_url
    return replace(config, queues=queues, redis_url=url, description=app)


@dataclass(frozen=True)
class _Import:
    """The import of the handler in a child."""

    config: WorkerConfig

    def data(self) -> Optional[Mapping[str, Any]]:
        """The data of the app's description; None for a plain handler. Raises DescriptionError."""
        with tempfile.TemporaryFile(prefix="bizzmq-import-") as output:
            reply = self._run(output)
            if isinstance(reply, Described):
                return reply.app or None
            raise DescriptionError(reply, _end_of(output))

    def _run(self, output: IO[bytes]) -> Union[Described, BootFailure]:
        parent, name = os.getpid(), f"description-{os.getpid()}"
        try:
            pid, channel = fork_with_channel(lambda end: self._child(end, parent, name, output.fileno()), [])
        except OSError as error:
            return BootFailure(f"the handler cannot be imported: no process for it: {error.strerror}")
        child = _Child(pid, name)
        try:
            reply = child.reply(channel)
            channel.close()
            ended = child.wait(_EXIT_S)
        finally:
            channel.close()
            child.kill()
        return reply or BootFailure(f"the handler cannot be imported: its process {ended} while doing so")

    def _child(self, channel: Channel, parent: int, name: str, output: int) -> int:
        """All that the child does. Returns its exit code."""
        syscalls.die_with_parent(signal.SIGKILL)
        fork.unblock_signals()
        if os.getppid() != parent:
            return exit_codes.INTERNAL_ERROR
        os.dup2(output, 1)
        os.dup2(output, 2)
        detached.mark(name)
        if self.config.redis_url is not server_url.DEFAULT_URL:
            server_url.remember(self.config.redis_url)  # as in the pool: the import may connect a client
        handler_import.prepare(self.config)
        channel.send(self._imported())
        while channel.unsent:
            select.select([], [channel.fileno()], [])
            channel.flush()
        orderly_exit.run_finalizers()
        return exit_codes.DRAINED

    def _imported(self) -> Union[Described, BootFailure]:
        try:
            function = handler_import.load(self.config, for_pool=False)
        except (ConfigurationError, HandlerImportError) as error:
            return handler_import.boot_failure_of(error)
        return Described(handler_import.description_of(function) or {})


class _Child:
    """The child that imports, and what its import has started."""

    def __init__(self, pid: int, name: str) -> None:
        self._pid, self._name = pid, name
        self._descendants = Descendants()
        self._ended: Optional[ExitStatus] = None

    def reply(self, channel: Channel) -> Optional[Union[Described, BootFailure]]:
        """What the child sends; None if it ends without a word. An import may take any time."""
        poller = select.poll()
        poller.register(channel.fileno(), select.POLLIN)
        while True:
            poller.poll(_LOOK_MS)
            is_over = self._reap() or channel.closed  # what the import has forked may keep the channel open
            for message in channel.receive(_FROM_CHILD):
                return message
            if is_over:
                return None

    def wait(self, timeout_s: float) -> ExitStatus:
        """How it ended. After this time it is killed."""
        give_up_s = clock.monotonic() + timeout_s
        while not self._reap():
            if clock.monotonic() >= give_up_s:
                self.kill()
            clock.sleep(0.0005)
        assert self._ended is not None
        return self._ended

    def kill(self) -> None:
        """Kill it if it lives, and reap it."""
        while not self._reap():
            syscalls.kill_group(self._pid)
            clock.sleep(0.0005)

    def _reap(self) -> bool:
        if self._ended is None:
            ended = self._descendants.reap(self._pid, self._name)
            self._ended = None if ended is None else ExitStatus.of(*ended)
        return self._ended is not None


def _end_of(output: IO[bytes]) -> str:
    """The end of what a failed import has printed."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _SHOWN_BYTES))
    return output.read().decode("utf-8", "replace").rstrip()
