"""Roles, and the function of the application that gives them."""

from __future__ import annotations

import enum
import inspect
from typing import Any, Awaitable, Callable, NamedTuple, Union

from starlette.requests import Request

from bizzmq.errors import ConfigurationError
from bizzmq.web.access.request_facts import address_of


class Role(enum.Enum):
    """What somebody may do on the dashboard. Each role includes the ones before it."""

    NONE = "none"
    LOOK = "look"
    ACT = "act"


class Access(NamedTuple):
    """Who sends a request, and what they may do.

    Attributes:
        role: what they may do.
        who: their name, for the log of acts; at most 200 characters count.
    """

    role: Role
    who: str = ""


Authorized = Union[Access, Role, str]
Authorize = Callable[[Request], Union[Authorized, Awaitable[Authorized]]]
NOBODY = Access(Role.NONE)
_LONGEST = 200


async def access_of(authorize: Authorize, request: Request) -> Access:
    """What `authorize` says of a request. Raises ConfigurationError if that is no role."""
    found: Any = authorize(request)
    if inspect.isawaitable(found):
        found = await found
    role, who = found if isinstance(found, Access) else (found, "")
    try:
        role = Role(role)
    except ValueError:
        raise ConfigurationError(f"authorize must return a Role or an Access, not {type(found).__name__}") from None
    name = "".join(one if one.isprintable() else "?" for one in str(who))[:_LONGEST]
    return Access(role, name or address_of(request))
