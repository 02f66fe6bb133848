"""Signing in with a password, for a dashboard that runs alone."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from typing import Dict, NamedTuple, Optional, Tuple

from starlette.requests import Request

from bizzmq.web.access.request_facts import root_of
from bizzmq.web.access.roles import NOBODY, Access, Role
from bizzmq.web.access.sessions import new_session, session_of

SESSION_S = 12 * 3600.0
_FREE_TRIES, _LONGEST_WAIT_S, _FORGET_S = 5, 300.0, 900.0
_FAILURE_S = 0.5
_MOST_SESSIONS, _MOST_ADDRESSES, _AT_ONCE = 1000, 10_000, 4


class _Session(NamedTuple):
    access: Access
    until_s: float


class _Failures(NamedTuple):
    times: int
    last_s: float


class TooManyTriesError(Exception):
    """An address has failed too often; `wait_s` says for how long it has to wait."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class Passwords:
    """The sessions of those who know a password.

    Guessing is slow: an address waits after five failures, twice as long each time up to 5 minutes; and all addresses
    together get at most 8 wrong answers a second.

    Args:
        act: the password of the role `act`.
        look: the password of the role `look`; None if there is none.
        metrics_token: what Prometheus sends to `/metrics`, as `Authorization: Bearer TOKEN`; "" if there is none.
    """

    def __init__(self, act: str, look: Optional[str] = None, *, metrics_token: str = "") -> None:
        self._token = _digest(f"Bearer {metrics_token}") if metrics_token else None
        known = [(Role.ACT, act), *([] if look is None else [(Role.LOOK, look)])]
        self._digests = [(role, _digest(text)) for role, text in known]
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._gates: Dict[int, Tuple[asyncio.AbstractEventLoop, asyncio.Semaphore]] = {}

    def authorize(self, request: Request) -> Access:
        """What the session of a request, or its token, may do."""
        if self._token is not None and _is_for_metrics(request):
            given = _digest(request.headers.get("authorization", ""))
            return Access(Role.LOOK, "metrics") if hmac.compare_digest(given, self._token) else NOBODY
        found = self._sessions.get(session_of(request))
        if found is None or found.until_s < time.monotonic():
            return NOBODY
        return found.access

    async def sign_in(self, address: str, name: str, password: str) -> Optional[str]:
        """The id of a new session; None for a wrong password.

        Raises:
            TooManyTriesError
        """
        self._check_address(address)
        async with self._gate():
            self._check_address(address)  # others of this address may have failed meanwhile
            role = self._role_of(password)
            if role is None:
                self._note_failure(address)
                await asyncio.sleep(_FAILURE_S)
                return None
        self._failures.pop(address, None)
        session = new_session()
        self._sessions[session] = _Session(Access(role, name or address), time.monotonic() + SESSION_S)
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def sign_out(self, request: Request) -> None:
        """End the session of a request, for all who know it."""
        self._sessions.pop(session_of(request), None)

    def _gate(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        known = self._gates.get(id(loop))
        if known is None or known[0] is not loop:
            known = self._gates[id(loop)] = (loop, asyncio.Semaphore(_AT_ONCE))
        return known[1]

    def _role_of(self, password: str) -> Optional[Role]:
        given, role = _digest(password), None
        for one, digest in self._digests:  # all of them, whatever the first ones say
            if hmac.compare_digest(given, digest):
                role = role or one
        return role

    def _check_address(self, address: str) -> None:
        failed = self._failures.get(address)
        if failed is None or failed.times < _FREE_TRIES:
            return
        wait_s = min(_LONGEST_WAIT_S, 5.0 * 2.0 ** (failed.times - _FREE_TRIES))
        left_s = failed.last_s + wait_s - time.monotonic()
        if left_s > 0:
            raise TooManyTriesError(left_s)

    def _note_failure(self, address: str) -> None:
        now_s = time.monotonic()
        before = self._failures.pop(address, _Failures(0, now_s))
        count = 1 if now_s - before.last_s > _FORGET_S else before.times + 1
        self._failures[address] = _Failures(count, now_s)
        while len(self._failures) > _MOST_ADDRESSES:
            self._failures.popitem(last=False)


def _is_for_metrics(request: Request) -> bool:
    return request.url.path == f"{root_of(request)}/metrics" and "authorization" in request.headers


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
