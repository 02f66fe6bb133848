"""Repetitions and slow combinations: an ordinary run has one of each promise, `make nightly` has all."""

from __future__ import annotations

from typing import Any, Sequence

import pytest


def usually(count: int, cases: Sequence[Any]) -> list[Any]:
    """All cases as parameters of a test, of which an ordinary run takes the first so many."""
    late = [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.nightly) for case in cases]
    return [*cases[:count], *late[count:]]
