"""A handler that records the environment of a program that it starts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from bizzmq.utils import secret_settings


def handler(body: Any) -> None:
    """Write the program's environment to the file `body["to"]`, then what this process still knows."""
    shown = subprocess.run(["env"], stdout=subprocess.PIPE, check=True).stdout.decode()
    known = "\n".join(f"kept {name}={secret_settings.get(name)}" for name in secret_settings.SECRETS)
    target = Path(body["to"])
    target.with_suffix(".new").write_text(f"{shown}{known}\n")
    target.with_suffix(".new").rename(target)
