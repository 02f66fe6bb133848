"""The cookie that names a browser's session, and the token that proves that a form came from its pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

_LENGTH = 43  # of secrets.token_urlsafe(32)
ELSEWHERE = "the form was sent from another site"


def cookie_name(request: Request) -> str:
    """The name of the cookie: cookies do not tell ports apart, so the port is part of it."""
    port = request.url.port or (443 if _is_secure(request) else 80)
    return f"{'__Host-' if _is_secure(request) else ''}bizzmq_{port}"


def session_of(request: Request) -> str:
    """The id of the request's session; "" without one."""
    found = request.cookies.get(cookie_name(request), "")
    return found if len(found) == _LENGTH else ""


def new_session() -> str:
    """An id that nobody can guess."""
    return secrets.token_urlsafe(32)


def set_session(request: Request, response: Response, session: str) -> None:
    """Have the browser send this session from now on."""
    response.set_cookie(cookie_name(request), session, **_attributes(request))


def end_session(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.delete_cookie(cookie_name(request), **_attributes(request))


def token_of(session: str) -> str:
    """The token of a session. Who does not know the session cannot know it; any process of a site can check it."""
    return hmac.new(session.encode(), b"bizzmq form", hashlib.sha256).hexdigest()


def is_from_elsewhere(request: Request) -> bool:
    """Whether the page of another site has sent a request."""
    fetched_from = request.headers.get("sec-fetch-site")  # older browsers, and plain HTTP, have Origin only
    origin = request.headers.get("origin")
    is_elsewhere = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    return is_elsewhere if fetched_from is None else fetched_from not in ("same-origin", "none")


def refusal(request: Request, token: str) -> str:
    """Why a form is refused: it does not come from a page of this site in this session. "" if it does."""
    if is_from_elsewhere(request):
        return ELSEWHERE
    session = session_of(request)
    if not session or not hmac.compare_digest(token.encode(), token_of(session).encode()):
        return "the form belongs to another session: load the page again"
    return ""


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _attributes(request: Request) -> dict[str, Any]:
    return {"httponly": True, "samesite": "lax", "secure": _is_secure(request), "path": "/"}
