"""A real Chromium, and axe-core's checks of accessibility."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("BIZZMQ_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
AXE = "axe-core@4.10.3"
AXE_VARIABLE = "BIZZMQ_TEST_AXE"
"""Names a file axe.min.js; without it, npm gets the package into a temporary folder."""


def axe_source(folder: Path) -> str:
    """The text of axe-core; "" if it cannot be had."""
    named = os.environ.get(AXE_VARIABLE)
    if named:
        return Path(named).read_text(encoding="utf-8")
    if shutil.which("npm") is None:
        return ""
    ended = subprocess.run(["npm", "pack", "--silent", AXE], cwd=folder, capture_output=True, timeout=60, check=False)
    packed = next(iter(folder.glob("axe-core-*.tgz")), None)
    if ended.returncode or packed is None:
        return ""
    with tarfile.open(fileobj=io.BytesIO(packed.read_bytes())) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def violations(page: Any, source: str) -> list[str]:
    """What axe-core finds wrong with a page, a line each."""
    # Our policy forbids inline scripts; DevTools runs this one outside of the page's policy.
    page.evaluate(source)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"][:3]
    ]


class Watched:
    """A page that notes what the browser complains of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _note(self, message: Any) -> None:
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")
