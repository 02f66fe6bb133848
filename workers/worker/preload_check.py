"""`bizzmq-worker --check-preload`: imports the handler as a template does, and reports what the import leaves."""

from __future__ import annotations

import os
from typing import List, Tuple

from bizzmq.utils import clock, detached, forks
from bizzmq.workers.config import WorkerConfig
from bizzmq.workers.preload import report
from bizzmq.workers.preload.finding import Effect
from bizzmq.workers.preload.inspection import Inspection
from bizzmq.workers.preload.origin import Origins
from bizzmq.workers.process.descendants import Descendants
from bizzmq.workers.worker import handler_import


def check(config: WorkerConfig) -> Tuple[bool, List[str]]:
    """Whether workers can be forked from a process that has imported the handler, and the report.

    Prepares this process in the same way as a template, so that the import does what it does in a pool. Ends the
    processes that the import has started.

    Raises:
        ConfigurationError: the handler does not exist, or is not callable as a handler.
        HandlerImportError: its module raised.
    """
    name = f"check-preload-{os.getpid()}"
    detached.mark(name)
    handler_import.prepare(config)
    inspection, started_s, origins = Inspection(forks.descriptors), clock.monotonic(), Origins()
    try:
        with origins:
            handler_import.load(config, for_pool=False)
        import_s = clock.monotonic() - started_s
        found = [one._replace(where=origins.of(one)) for one in inspection.findings()]
    finally:
        Descendants().end_started(os.getpid(), name)
    return not any(one.effect is Effect.OFF for one in found), list(report.lines(str(config.handler), import_s, found))
