"""The number of threads that numerical libraries start in each worker: the processors, shared among the workers.

OpenMP, BLAS and similar libraries start as many threads as the machine has processors, in each process that uses them.
In a pool that is too many threads, which wait for each other. So the pool sets the variables that these libraries read
when they are loaded. Variables that the user has set stay.
"""

from __future__ import annotations

import os
from typing import List, Union

from bizzmq.workers.process import cgroups

AUTO, OFF = "auto", "off"
Setting = Union[int, str]
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip


def threads_per_worker(setting: Setting, workers: int) -> int:
    """The number of threads that a library may start in each worker; 0 for no limit."""
    if setting == OFF:
        return 0
    return max(1, cgroups.usable_processors() // max(1, workers)) if setting == AUTO else int(setting)


def set_by_user() -> List[str]:
    """The variables that the user has set."""
    return [name for name in VARIABLES if os.environ.get(name)]


def set_variables(count: int) -> None:
    """Set the variables that are not set; 0 sets none. Call it before the handler is imported."""
    if count:
        for name in VARIABLES:
            os.environ.setdefault(name, str(count))
