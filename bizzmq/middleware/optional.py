"""Libraries that only one middleware needs, and that are not installed with BizzMQ."""

from __future__ import annotations

import importlib
from typing import Any

from bizzmq.errors import ConfigurationError


class Library:
    """A library that may be missing.

    Args:
        name: the name of the module.
        package: the name of the package that has it, which the extra of the same subject installs.
        user: the name of the class that needs it, for the error.
    """

    def __init__(self, name: str, package: str, user: str) -> None:
        self._name, self._package, self._user = name, package, user

    def load(self, module: str = "") -> Any:
        """The module, or the one of that name in it.

        Raises:
            ConfigurationError: it is not installed, or cannot be imported here.
        """
        try:
            return importlib.import_module(f"{self._name}.{module}" if module else self._name)
        except ImportError as error:
            raise ConfigurationError(
                f"{self._user} needs {self._package}: pip install {self._package} ({error})"
            ) from None
