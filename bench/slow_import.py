"""A handler with a slow import, like that of a large library."""

from __future__ import annotations

import os
import time

from bench.handlers import IMPORT_TIME, sleeping

time.sleep(float(os.environ[IMPORT_TIME]))

__all__ = ["sleeping"]
