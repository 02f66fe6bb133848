"""Facts about a request that several modules read."""

from __future__ import annotations

from starlette.requests import Request


def address_of(request: Request) -> str:
    """The address that a request comes from; "unknown" without one."""
    return request.client.host if request.client else "unknown"


def root_of(request: Request) -> str:
    """The path under which the dashboard is mounted, without a slash at its end."""
    root: str = request.scope.get("root_path", "")
    return root.rstrip("/")
