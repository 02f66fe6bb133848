"""What came of an act, told on the next page by a cookie that lives for a minute."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple, Optional

from starlette.requests import Request
from starlette.responses import Response

from bizzmq.protocol.envelope import decode_body
from bizzmq.web.access.request_facts import root_of

_COOKIE = "bizzmq_notice"
_LONGEST = 600


class Notice(NamedTuple):
    """What came of an act.

    Attributes:
        level: `done`, or `failed` if it was not done.
        sentence: what to say.
    """

    level: str
    sentence: str


def give_notice(request: Request, response: Response, notice: Notice) -> Response:
    """The response, with the notice for the next page."""
    text = json.dumps([notice.level, notice.sentence[:_LONGEST]])
    value = base64.urlsafe_b64encode(text.encode()).decode()
    root = root_of(request) or "/"
    is_secure = request.url.scheme == "https"
    response.set_cookie(_COOKIE, value, 60, path=root, httponly=True, samesite="lax", secure=is_secure)
    return response


def take_notice(request: Request) -> Optional[Notice]:
    """The notice of the request; None without one."""
    try:
        found: Any = decode_body(base64.urlsafe_b64decode(request.cookies[_COOKIE].encode()))
        level, sentence = found
        return Notice("done" if level == "done" else "failed", str(sentence)[:_LONGEST])
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None
