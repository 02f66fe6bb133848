"""JSON, the only format of bodies: it is data, and decoding it cannot execute code.

It uses msgspec if that is installed (the extra `speed`), or else the standard library, with the same results: ADR 48.

    dumps(value)  a JSON value as UTF-8 bytes without white space. Raises EncodeError if it is not a JSON value (NaN, a
                  set, a key that is not a string, ...), or if it is nested more than 200 levels deep
    loads(data)   the value of JSON bytes. Raises DecodeError if they are not one JSON document. It follows nested
                  containers until the stack ends: text that may be deep goes through `envelope.decode_body`
"""

from __future__ import annotations

from bizzmq.protocol.json_codecs import stdlib as json_stdlib

try:
    from bizzmq.protocol.json_codecs import with_msgspec as json_msgspec
except ImportError:
    NAME = "json"
    dumps, loads = json_stdlib.dumps, json_stdlib.loads
else:
    NAME = "msgspec"
    dumps, loads = json_msgspec.dumps, json_msgspec.loads

__all__ = ["NAME", "dumps", "loads"]
