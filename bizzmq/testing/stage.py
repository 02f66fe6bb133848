"""The environment of one torture run: queues on the servers, pools that run the handler, a publisher, the ledger."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

from bizzmq.client import BizzMQ
from bizzmq.consumer.handlers.loader import split_spec
from bizzmq.errors import ConfigurationError
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
    """The settings of one torture run.

    Args:
        handler: MODULE:CALLABLE, importable from the current directory.
        seconds: how long faults are injected; the time after that, until all is at rest, is not counted.
        seed: the same seed draws the same faults at the same times.
        faults: names of the kinds of fault to choose from; () means all.
        bodies: the bodies to publish, in turn.
        patience_s: how long nothing may happen at the end before the run counts as hanging.
        confirm: as for MessageOptions; an unconfirmed message may be lost.
        bystanders: the number of further pools, which only lose workers and helpers.
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
    """Everything of one torture run except its servers. A context manager: leaving it ends all processes.

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
        """The logs of all pools."""
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
        """Wait until a worker is ready. The import of the handler may take any time, but must not fail."""
        while not pool.has_ready_worker():
            if pool.exit_code == _CANNOT_BOOT:
                reported = pool.log().splitlines()[-1]
                why = reported.partition(_SAID)[2] or reported
                raise ConfigurationError(f"{self._settings.handler} cannot be imported: {_plain(why)}")
            assert pool.exit_code is None, f"the pool has left with {pool.exit_code}:\n{pool.log()}"
            time.sleep(POLL_S)


def _plain(why: str) -> str:
    """The text of an error, without the type if the error is one of ours."""
    return why[len("ConfigurationError: ") :] if why.startswith("ConfigurationError: ") else why
