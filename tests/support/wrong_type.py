"""A key of the wrong type for the time of a block."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Iterator

from bizzmq.testing.layout import command

# Each in one step: no other client may write to a key that is about to be overwritten.
_SPOIL = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
redis.call('SET', KEYS[1], 'of the wrong type')
"""
_MEND = """
redis.call('DEL', KEYS[1])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[1]) end
"""


@contextlib.contextmanager
def wrong_type(redis: Any, key: str) -> Iterator[None]:
    """Give a key, which must have a hash tag, the wrong type during the block; restore it afterwards."""
    tag = re.search(r"\{.*?\}", key)
    assert tag is not None, key
    saved = f"{tag[0]}:saved"
    command(redis, "EVAL", _SPOIL, 2, key, saved)
    yield
    command(redis, "EVAL", _MEND, 2, key, saved)
