import numexpr
import numpy as np

A = np.arange(200_000, dtype=float)
WANTED = float(numexpr.evaluate("sum(2 * A + 1)"))


def handler(body):
    assert float(numexpr.evaluate("sum(2 * A + 1)")) == WANTED
