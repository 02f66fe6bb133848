"""The page to sign in, for a dashboard that runs alone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from bizzmq.web.access.forms import FormError, first, read_form
from bizzmq.web.access.passwords import TooManyTriesError
from bizzmq.web.access.request_facts import address_of, root_of
from bizzmq.web.access.roles import NOBODY
from bizzmq.web.access.sessions import end_session, new_session, refusal, session_of, set_session, token_of
from bizzmq.web.site import Site, look_of, redirect


def sign_in_routes(site: Site) -> list[Route]:
    """The routes of signing in and out."""

    async def show(request: Request) -> Response:
        return _form(site, request, "", request.query_params.get("next", ""))

    async def sign_in(request: Request) -> Response:
        assert site.passwords is not None
        try:
            fields = await read_form(request)
        except FormError as error:
            return _form(site, request, str(error), "", error.status)
        wanted = first(fields, "next")
        reason = refusal(request, first(fields, "token"))
        if reason:
            return _form(site, request, "This form was too old. Try again.", wanted, 403)
        try:
            name = "".join(one for one in first(fields, "name").strip() if one.isprintable())[:100]
            session = await site.passwords.sign_in(address_of(request), name, first(fields, "password"))
        except TooManyTriesError as error:
            wait_s = int(error.wait_s) + 1
            response = _form(site, request, f"Too many wrong passwords: try again in {wait_s} seconds.", wanted, 429)
            response.headers["retry-after"] = f"{wait_s}"
            return response
        if session is None:
            return _form(site, request, "This password is wrong.", wanted, 401)
        response = redirect(root_of(request), wanted if _is_path(wanted) else "/")
        set_session(request, response, session)
        return response

    async def sign_out(request: Request) -> Response:
        assert site.passwords is not None
        response = redirect(root_of(request), "/sign-in")
        try:
            fields = await read_form(request)
        except FormError:
            return response
        if not refusal(request, first(fields, "token")):
            site.passwords.sign_out(request)
            end_session(request, response)
        return response

    return [
        Route("/sign-in", show, methods=["GET"]),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
    ]


def _is_path(text: str) -> bool:
    """Whether this is a path of the dashboard, and not an address elsewhere."""
    return text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()


def _form(site: Site, request: Request, problem: str, wanted: str, status: int = 200) -> Response:
    session = session_of(request)
    fresh = "" if session else new_session()
    html = site.render(
        "sign_in.html", look_of(request, NOBODY), problem=problem, wanted=wanted, token=token_of(session or fresh)
    )
    response = HTMLResponse(html, status)
    if fresh:
        set_session(request, response, fresh)
    return response
