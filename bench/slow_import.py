"""A handler whose module takes long to import, as large libraries do."""

from __future__ import annotations

import time

from bench.handlers import sleeping
from bench.respawn import IMPORT_S

time.sleep(IMPORT_S)

__all__ = ["sleeping"]
