"""How many threads numerical libraries may start in each worker: together as many as there are processors.

OpenMP, BLAS and the like start as many threads as the machine has processors, in each process that uses them. In a pool
these are too many by as often as there are workers, and they wait for each other. So the processors are shared out, by
the variables that these libraries read when they are loaded. What the user has set stays.
"""

from __future__ import annotations

import os
from typing import List, Union

from bizzmq.workers import processors

AUTO, OFF = "auto", "off"
Setting = Union[int, str]
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip


def share(setting: Setting, workers: int) -> int:
    """How many threads a library may start in each worker; 0 sets nothing."""
    if setting == OFF:
        return 0
    return max(1, processors.available() // max(1, workers)) if setting == AUTO else int(setting)


def set_by_user() -> List[str]:
    """The variables that are set already."""
    return [name for name in VARIABLES if os.environ.get(name)]


def limit(count: int) -> None:
    """Before the handler is imported: set what is not set. 0 sets nothing."""
    if count:
        for name in VARIABLES:
            os.environ.setdefault(name, str(count))
