"""A browser without JavaScript: it keeps cookies, follows redirects, and sends forms with their token."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx

PASSWORD, LOOK_PASSWORD = "let me act please", "let me look please"


class Site:
    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def sign_in(self, password: str, name: str = "Ada") -> httpx.Response:
        page = self.client.get("/sign-in")
        fields = {"token": token_in(page.text), "name": name, "password": password, "next": "/"}
        return self.client.post("/sign-in", data=fields)

    def get(self, path: str, **fields: Any) -> httpx.Response:
        return self.client.get(path, **fields)

    def act(self, path: str, *, token: str | None = None, **fields: Any) -> httpx.Response:
        """Press a button of a page: the answer is the page that follows."""
        known = token_in(self.client.get("/log").text) if token is None else token
        return self.client.post(path, data={"token": known, **fields}, follow_redirects=True)


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]*)"', page)
    return found[1] if found else ""


def notice_in(page: str) -> str:
    """What came of the last act; "" without one."""
    found = re.search(r'id="notice">([^<]*)<', page)
    return html.unescape(found[1]) if found else ""


def text_of(page: str) -> str:
    """What a reader sees, without tags."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)))
