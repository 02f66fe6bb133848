"""Forms: the fields of a request, bounded."""

from __future__ import annotations

from typing import Dict, List
from urllib.parse import parse_qsl

from starlette.requests import Request

MOST_BYTES = 4 * 1024 * 1024  # a body of 1 MiB, each byte as three characters, and the rest
_MOST_FIELDS = 2000


class FormError(ValueError):
    """A form that cannot be read; `status` is the HTTP status."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status


async def read_form(request: Request) -> Dict[str, List[str]]:
    """The fields of a form, each with its values. Raises FormError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise FormError("a form must be application/x-www-form-urlencoded", 415)
    parts: List[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise FormError("the form is too large", 413)
        parts.append(part)
    try:
        pairs = parse_qsl(b"".join(parts).decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise FormError("the form cannot be read") from None
    fields: Dict[str, List[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


def first(fields: Dict[str, List[str]], name: str) -> str:
    """The first value of a field; "" without one."""
    return fields.get(name, [""])[0]
