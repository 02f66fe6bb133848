"""Secret keys, for signatures and for encryption: bytes or base64 text, from the program or from the environment."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import List, NamedTuple, Union

from bizzmq.errors import ConfigurationError
from bizzmq.utils import secret_files, secret_settings

Key = Union[bytes, str]


class KeysText(NamedTuple):
    """Keys as text, and the name of the variable that they come from."""

    parts: List[str]
    source: str


def keys_text(variable: str, file_variable: str) -> KeysText | None:
    """The keys that one variable contains, or the file that the other one names; None if neither is set.

    They are separated by commas or white space.

    Raises:
        ConfigurationError: both variables are set, or the file cannot be read.
    """
    text, path = secret_settings.get(variable), secret_settings.get(file_variable)
    if text is not None and path is not None:
        raise ConfigurationError(f"both {variable} and {file_variable} are set; set one of them")
    source = variable
    if path is not None:
        text, source = secret_files.read_secret(Path(path)), file_variable
    return None if text is None else KeysText(text.replace(",", " ").split(), source)


def key_bytes(given: Key, name: str) -> bytes:
    """A key as bytes. Raises ConfigurationError, with the name, if it is text that is not base64."""
    try:
        return base64.b64decode(given, validate=True) if isinstance(given, str) else bytes(memoryview(given))
    except (binascii.Error, ValueError, TypeError):
        raise ConfigurationError(f"{name} is not base64; create one with: openssl rand -base64 32") from None
