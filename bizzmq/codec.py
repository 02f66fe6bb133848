"""JSON and nothing else: a body is data, and no codec here can execute code.

By msgspec where that is installed (the extra `speed`), else by the standard library, with the same results: ADR 48.

    dumps(value)  a JSON value as UTF-8 bytes without white space. Raises EncodeError: it is none (NaN, a set, a key
                  that is no string, a cycle, ...)
    loads(data)   the value of JSON bytes. Raises DecodeError: they are not one JSON document
"""

from __future__ import annotations

from bizzmq import codec_standard

try:
    from bizzmq import codec_msgspec
except ImportError:
    NAME = "json"
    dumps, loads = codec_standard.dumps, codec_standard.loads
else:
    NAME = "msgspec"
    dumps, loads = codec_msgspec.dumps, codec_msgspec.loads

__all__ = ["NAME", "dumps", "loads"]
