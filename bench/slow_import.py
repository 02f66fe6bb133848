"""A handler whose module takes two seconds to import, as large libraries do."""

from __future__ import annotations

import time

from bench.handlers import sleeping

IMPORT_S = 2.0

time.sleep(IMPORT_S)

__all__ = ["sleeping"]
