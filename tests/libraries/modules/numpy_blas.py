"""A matrix product at import, and another one in each message."""

import numpy as np

A = np.random.default_rng(7).random((300, 300))
WANTED = float((A @ A).sum())


def handler(body):
    assert abs(float((A @ A).sum()) - WANTED) < 1e-6 * WANTED
