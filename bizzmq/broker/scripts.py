"""The Lua scripts: text, digest and header of each."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "lua"
_INCLUDES = "includes"


@dataclass(frozen=True)
class Script:
    """One transition.

    Attributes:
        includes: names of the shared files that its header lists after `uses`.
        source: the text that Redis runs: the includes in the order of the header, then the script.
        digest: SHA1 of the text in hex, by which Redis caches the script.
        key_count: number of KEYS in its header.
        header: lines of the leading comment of the script's file, without the dashes.
    """

    name: str
    includes: tuple[str, ...]
    source: str
    digest: str
    key_count: int
    header: tuple[str, ...]


def names() -> list[str]:
    """Names of all transitions, sorted. Each is unique over all groups."""
    return sorted(path.stem for path in _FOLDER.glob("*/*.lua") if path.parent.name != _INCLUDES)


def include_names() -> list[str]:
    """Names of the files that scripts share, sorted. No script has one of these names."""
    return sorted(path.stem for path in (_FOLDER / _INCLUDES).glob("*.lua"))


def load_all() -> None:
    """Load every script now. A running process must not read files that an upgrade has replaced."""
    for name in names():
        load(name)


@lru_cache(maxsize=None)
def load(name: str) -> Script:
    """The script with this name."""
    (path,) = (path for path in _FOLDER.glob(f"*/{name}.lua") if path.parent.name != _INCLUDES)
    own = path.read_text(encoding="utf-8")
    header = _header(own)
    includes = _includes(header)
    shared = ((_FOLDER / _INCLUDES / f"{include}.lua").read_text(encoding="utf-8") for include in includes)
    source = "".join(shared) + own
    digest = hashlib.sha1(source.encode("utf-8")).hexdigest()  # noqa: S324 - Redis names scripts by SHA1
    keys = [int(match[1]) for match in (re.match(r"KEYS\[(\d+)\]", line) for line in header) if match]
    return Script(name, includes, source, digest, max(keys, default=0), header)


def _header(text: str) -> tuple[str, ...]:
    lines = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        lines.append(line[2:].strip())
    return tuple(lines)


def _includes(header: tuple[str, ...]) -> tuple[str, ...]:
    lists = [line[len("uses ") :] for line in header if line.startswith("uses ")]
    return tuple(name.strip() for names in lists for name in names.split(","))
