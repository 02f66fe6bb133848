"""A provider of OpenTelemetry that is given, made in each process by a function, or global."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable

from bizzmq.errors import ConfigurationError
from bizzmq.validation import checks


class Provider:
    """A TracerProvider or a MeterProvider.

    Args:
        name: the name of the argument that gives it.
        given: the provider, a function that makes one and is called once in each process, or None for the global one.
        method: the method that tells a provider from a function.
        kind: the name of its class, for errors.
        global_one: returns the global one.

    Raises:
        ConfigurationError: `given` is something else.
    """

    def __init__(self, name: str, given: Any, method: str, kind: str, global_one: Callable[[], Any]) -> None:
        self._name, self._given, self._method, self._kind, self._global = name, given, method, kind, global_one
        self._is_factory = isinstance(given, type) or not hasattr(given, method)
        if given is not None and self._is_factory and not callable(given):
            checks.refuse(name, f"a {kind}, or a function that makes one", given)
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._made: Any = None

    def get(self) -> Any:
        """The provider of this process. Raises ConfigurationError if the function makes something else."""
        if self._given is None:
            return self._global()
        if not self._is_factory:
            return self._given
        with self._lock:
            if self._made is None:
                made = self._given()
                if not hasattr(made, self._method):
                    raise ConfigurationError(
                        f"the function for {self._name} returned {checks.shown(made)}, which is no {self._kind}"
                    )
                self._made = made
        return self._made

    def flush(self, timeout_s: float) -> None:
        """Export what is not exported yet. Only providers of the SDK can."""
        flush = getattr(self.get(), "force_flush", None)
        if flush is not None:
            flush(int(timeout_s * 1000))

    def shut_down(self) -> None:
        """End the one that the function has made."""
        made, self._made = self._made, None
        if made is not None:
            made.shutdown()
