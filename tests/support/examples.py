"""How many examples Hypothesis tries: an ordinary run a quarter of what a nightly run does."""

import os

SHARE_VARIABLE = "BIZZMQ_TEST_EXAMPLES"
_SHARE = float(os.environ.get(SHARE_VARIABLE, "0.25"))


def examples(count: int) -> int:
    """The share of `count` that this run tries."""
    return max(10, round(count * _SHARE))
