"""Processes of joblib, started at import and used in each message."""

import math

from joblib import Parallel, delayed

parallel = Parallel(n_jobs=2)
WANTED = parallel(delayed(math.sqrt)(number) for number in range(8))


def handler(body):
    assert parallel(delayed(math.sqrt)(number) for number in range(8)) == WANTED
