"""A handler whose module takes long to import, as large libraries do."""

from __future__ import annotations

import os
import time

from bench.handlers import IMPORT_TIME, sleeping

time.sleep(float(os.environ[IMPORT_TIME]))

__all__ = ["sleeping"]
