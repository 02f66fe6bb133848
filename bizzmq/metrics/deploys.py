"""Deploys: the starts of pools, with what they run, as the history of a queue has them."""

from __future__ import annotations

from typing import Any, List, Mapping, Tuple

from bizzmq.errors import DecodeError
from bizzmq.metrics.history import is_number
from bizzmq.metrics.series import Deploy
from bizzmq.protocol import json_codec
from bizzmq.protocol.envelope import decode_body

_SHOWN = 200


def start_bytes(code: str, version: str, target: str) -> bytes:
    """What a pool runs, for its first report."""
    return json_codec.dumps({"code": code[:_SHOWN], "version": version[:_SHOWN], "target": target[:_SHOWN]})


def deploys_of(fields: Mapping[bytes, bytes], begins_s: int) -> Tuple[Deploy, ...]:
    """The deploys since a time, from the starts of all pools. One that runs the same as the one before is no deploy."""
    starts = sorted(start for start in map(_start, fields.values()) if start is not None)
    found: List[Deploy] = []
    for at_ms, code, version, target in starts:
        last = found[-1] if found else None
        if last is not None and (last.code, last.version, last.target) == (code, version, target):
            found[-1] = Deploy(last.at_s, code, version, target, last.pools + 1)
        else:
            found.append(Deploy(at_ms / 1000, code, version, target, 1))
    return tuple(deploy for deploy in found if deploy.at_s >= begins_s)


def _start(stored: bytes) -> Tuple[int, str, str, str] | None:
    stamp, _, data = stored.partition(b" ")
    if not is_number(stamp):
        return None
    try:
        fields: Any = decode_body(data)
        code, version, target = (str.__str__(fields[name])[:_SHOWN] for name in ("code", "version", "target"))
    except (DecodeError, KeyError, TypeError, AttributeError):
        return None
    return int(stamp), code, version, target
