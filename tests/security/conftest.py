"""Fixtures of the security tests: the scene of the fault tests, and pools with private control sockets."""

from __future__ import annotations

from tests.faults.conftest import own_scene, scene
from tests.supervision.conftest import environment, runtime, start_pool

__all__ = ["environment", "own_scene", "runtime", "scene", "start_pool"]
