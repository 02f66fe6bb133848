"""The dashboard: pages for people who look at queues and act on them, as an ASGI application."""

from __future__ import annotations

from bizzmq.web.access.roles import Access, Role
from bizzmq.web.application import dashboard

__all__ = ("Access", "Role", "dashboard")
