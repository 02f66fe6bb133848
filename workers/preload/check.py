"""`bizzmq-worker --check-preload`: imports the handler as a template does, and reports what the import has left."""

from __future__ import annotations

import os
from typing import List, Tuple

from bizzmq import clock, forks, handler, offspring
from bizzmq.workers.descendants import Descendants
from bizzmq.workers.preload import text
from bizzmq.workers.preload.finding import Effect
from bizzmq.workers.preload.inspection import Inspection
from bizzmq.workers.preload.origin import Origins


def check(spec: str) -> Tuple[bool, List[str]]:
    """Whether workers can be forked from a process that has imported the handler, and the report. Ends what it started.

    Raises:
        ConfigurationError: there is no such handler, or it cannot be one.
        HandlerImportError: its module raised.
    """
    name = f"check-preload-{os.getpid()}"
    offspring.mark(name)
    inspection, started_s, origins = Inspection(forks.descriptors), clock.monotonic(), Origins()
    try:
        with origins:
            handler.load(spec)
        import_s = clock.monotonic() - started_s
        found = [one._replace(where=origins.of(one)) for one in inspection.findings()]
    finally:
        Descendants().end_started(os.getpid(), name)
    return not any(one.effect is Effect.OFF for one in found), list(text.report(spec, import_s, found))
