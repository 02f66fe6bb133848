"""Fixtures of the tests with the version before: the scene of the fault tests, and its pools."""

from __future__ import annotations

from tests.faults.conftest import scene
from tests.supervision.conftest import environment, runtime, start_pool

__all__ = ["environment", "runtime", "scene", "start_pool"]
