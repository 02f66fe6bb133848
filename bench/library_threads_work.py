"""Handlers that compute with multithreaded libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

A = np.random.default_rng(7).random((500, 500))
X = np.random.default_rng(7).random((2000, 20))
Y = X[:, 0] + X[:, 1] > 1


def product(_body: Any) -> None:
    """Matrix products, in BLAS."""
    for _ in range(4):
        A @ A


def fit(_body: Any) -> None:
    """A fit of a small model, in OpenMP."""
    HistGradientBoostingClassifier(max_iter=10).fit(X, Y)
