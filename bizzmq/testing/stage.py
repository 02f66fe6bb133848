"""Where a torture takes place: queues on some servers, pools that run the handler, a publisher, and the ledger."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from bizzmq.client import BizzMQ
from bizzmq.errors import ConfigurationError
from bizzmq.handler import split_spec
from bizzmq.queue import QueueOptions
from bizzmq.testing.host import Host
from bizzmq.testing.ledger import RECORDED, Ledger, recorded
from bizzmq.testing.load import Load
from bizzmq.testing.pool import Pool
from bizzmq.testing.site import Site
from bizzmq.testing.wait import POLL_S

DRAIN_S = 20.0
_OPTIONS = ("--lease=4", f"--drain-timeout={DRAIN_S:g}", "--max-crashes=5", "--control=off")
_CANNOT_BOOT = 3
_SAID = f"importing '{RECORDED.partition(':')[0]}' failed: "


@dataclass(frozen=True)
class Settings:
    """What is tortured, and how.

    Args:
        handler: MODULE:CALLABLE, importable from the current directory.
        seconds: how long faults are done; what comes after them, until all is at rest, is not counted.
        seed: the same seed draws the same faults at the same times.
        faults: names of the kinds of fault to choose from; () means all.
        bodies: what is published, in turn.
        patience_s: how long, at the end, nothing at all may happen before that is called a hang.
        confirm: as for MessageOptions: what cannot be confirmed in time may be lost.
        bystanders: pools beside the one that is killed; they lose only workers and helpers.
    """

    handler: str
    seconds: float
    seed: int
    concurrency: int = 4
    rate_hz: float = 50.0
    bodies: Sequence[Any] = ({},)
    faults: Sequence[str] = ()
    patience_s: float = 60.0
    confirm: str = ""
    queues: Sequence[str] = ("torture",)
    bystanders: int = 0

    def __post_init__(self) -> None:
        split_spec(self.handler)
        if not self.bodies:
            raise ConfigurationError("there is nothing to publish: no body is given")


class Stage:
    """Everything of one torture but its servers. A context manager: leaving it ends all processes.

    Raises:
        ConfigurationError: the handler cannot be imported; one line.
    """

    def __init__(self, site: Site, settings: Settings, directory: Path) -> None:
        self._site, self._settings, self._directory = site, settings, directory
        self._stack = ExitStack()
        self.ledger = Ledger(directory / "ledger")
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _open(self) -> None:
        settings = self._settings
        with BizzMQ(self._site.url) as mq:
            for queue in settings.queues:
                mq.create_queue(queue, QueueOptions(True, retry_backoff_s=0.1, retry_backoff_max_s=1.0))
        self.host = self._stack.enter_context(Host(self._start_pool, self.ledger.directory, settings.bystanders))
        for pool in self.host.pools:
            self._await_ready(pool)
        load = Load(
            self._site.url, settings.queues, self.ledger, settings.bodies, settings.rate_hz, settings.confirm
        )  # fmt: skip
        self.load = self._stack.enter_context(load)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def logs(self) -> str:
        """What all pools have logged."""
        return "".join(f"--- {pool.log_path.name}\n{pool.log()}" for pool in self.host.pools)

    def _start_pool(self, number: int) -> Pool:
        return Pool(
            self._site.url,
            self._directory / f"pool-{number}.log",
            queue=self._settings.queues,
            concurrency=self._settings.concurrency,
            args=_OPTIONS,
            **recorded(self._settings.handler, self.ledger),
        )

    def _await_ready(self, pool: Pool) -> None:
        """A handler may take as long as it likes to be imported; what it must not is fail."""
        while not pool.has_ready_worker():
            if pool.exit_code == _CANNOT_BOOT:
                said = pool.log().splitlines()[-1]
                why = said.partition(_SAID)[2] or said
                raise ConfigurationError(f"{self._settings.handler} cannot be imported: {_plain(why)}")
            assert pool.exit_code is None, f"the pool has left with {pool.exit_code}:\n{pool.log()}"
            time.sleep(POLL_S)


def _plain(why: str) -> str:
    """Our own errors are sentences without their type."""
    return why[len("ConfigurationError: ") :] if why.startswith("ConfigurationError: ") else why
