import numba
import numpy as np


@numba.njit(parallel=True)
def total(values):
    found = 0.0
    for i in numba.prange(values.size):
        found += values[i]
    return found


VALUES = np.ones(100000)
total(VALUES)


def handler(body):
    assert total(VALUES) == 100000.0
