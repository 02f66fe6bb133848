"""The page on which the options of a queue are changed."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Tuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bizzmq.errors import BizzMQError
from bizzmq.protocol.keys import logical_queue, owner_of
from bizzmq.queue import WHEN_FULL, QueueOptions
from bizzmq.web.access.forms import first
from bizzmq.web.access.roles import Role
from bizzmq.web.acts import Deed, Fields, answer, perform, permitted
from bizzmq.web.notices import Notice
from bizzmq.web.rendering import Shown
from bizzmq.web.site import Look, Site, View, look_of

_YES_NO = ("yes", "no")
_KINDS: Mapping[str, str] = {
    "config_dead_letter_queue": "flag", "max_retries": "whole", "retry": "whole", "retry_backoff_s": "seconds",
    "retry_backoff_max_s": "seconds", "timeout_s": "seconds", "dead_letter_ttl_s": "seconds",
    "dead_letter_limit": "whole", "max_length": "whole", "when_full": "choice", "dead_letter_expired": "flag",
    "history": "flag",
}  # fmt: skip
"""The options that can be changed."""
_WITHOUT = ("timeout_s", "dead_letter_ttl_s", "dead_letter_limit", "max_length")
"""Those that can be left out."""


class Field(NamedTuple):
    """An option as a field: its name, its text, what it may be if not any text, and a hint."""

    name: str
    text: str
    choices: Tuple[str, ...]
    hint: str


def option_routes(site: Site) -> list[Route]:
    """The route."""

    async def options(request: Request) -> Response:
        if request.method == "GET":
            access = await site.access(request, Role.ACT)
            shown = await site.show(_form, look_of(request, access))
            return site.whole(request, access, shown, "overview")
        return await _change(site, request)

    return [Route("/queues/{queue}/options", options, methods=["GET", "POST"])]


async def _form(site: Site, look: Look) -> View:
    name = logical_queue(owner_of(look.path["queue"]))
    return _view(name, texts_of((await site.client.show_queue(name)).options))


def _view(name: str, texts: Mapping[str, str], was: Mapping[str, str] | None = None, problem: str = "") -> View:
    fields: List[Field] = []
    for option, kind in _KINDS.items():
        choices = {"flag": _YES_NO, "choice": WHEN_FULL}.get(kind, ())
        hint = {"whole": "a whole number", "seconds": "seconds"}.get(kind, "")
        fields.append(Field(option, texts[option], choices, hint + (", or nothing" if option in _WITHOUT else "")))
    values = {"queue": name, "fields": fields, "was": was or texts, "problem": problem}
    return View("options.html", f"Options of {name}", values, 422 if problem else 200)


def texts_of(options: QueueOptions) -> Dict[str, str]:
    """The options as they are typed."""
    found = {}
    for name, kind in _KINDS.items():
        value = getattr(options, name)
        found[name] = (
            ""
            if value is None
            else ("no", "yes")[value]
            if kind == "flag"
            else f"{value:g}"
            if kind == "seconds"
            else f"{value}"
        )
    return found


def changes_of(fields: Fields) -> Dict[str, Any]:
    """The options whose texts differ from those that the form has shown. Raises ValueError with one clear line."""
    return {
        name: _value(name, kind, first(fields, name).strip())
        for name, kind in _KINDS.items()
        if name in fields and first(fields, name).strip() != first(fields, f"was_{name}")
    }


def _value(name: str, kind: str, text: str) -> Any:
    shown = name.replace("_", " ")
    if kind == "choice":
        return text
    if kind == "flag":
        return text == "yes"
    if not text and name in _WITHOUT:
        return None
    try:
        return int(text) if kind == "whole" else float(text)
    except ValueError:
        number = "a whole number" if kind == "whole" else "a number of seconds"
        raise ValueError(f"The option {shown} must be {number}. Nothing was changed.") from None


async def _change(site: Site, request: Request) -> Response:
    access, fields = await permitted(site, request)
    name = logical_queue(owner_of(request.path_params["queue"]))
    path = f"/queues/{quote(name, safe='')}"

    def again(problem: str) -> Response:
        typed = {option: first(fields, option) for option in _KINDS}
        view = _view(name, typed, {option: first(fields, f"was_{option}") for option in _KINDS}, problem)
        html = site.render(view.template, look_of(request, access), **view.values)
        return site.whole(request, access, Shown(html, view.title, view.status), "overview")

    try:
        changes = changes_of(fields)
    except ValueError as error:
        return again(str(error))
    if not changes:
        return answer(request, path, Notice("done", "No option was changed."))
    problem: List[BizzMQError] = []

    async def before() -> str:
        known = (await site.client.show_queue(name)).options
        return ", ".join(f"{option} {getattr(known, option)}" for option in changes)

    async def do() -> Notice:
        try:
            done = await site.client.update_queue(name, changes)
        except BizzMQError as error:
            problem.append(error)
            raise
        said = ", ".join(f"{option} is {now}, was {was}" for option, (was, now) in done.changed.items())
        return Notice("done", f"Changed: {said or 'nothing, somebody else was faster'}. Pools use it within 5 seconds.")

    notice = await perform(site, access, Deed("change options", name), before, do)
    return again(notice.sentence) if problem else answer(request, path, notice)
