"""The Lua files of this package as values: text, digest, and what their headers say."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"
_COMMON = "common"
_PLACES = "places"
_SHARED = (_COMMON, _PLACES)


@dataclass(frozen=True)
class Script:
    """One transition.

    Attributes:
        source: the text that Redis is given: the common functions, those of `places` if its header says that the
            script uses them, then the script.
        digest: its SHA1 in hex, the name under which Redis caches it.
        key_count: how many KEYS its header lists.
    """

    name: str
    source: str
    digest: str
    key_count: int

    @property
    def header(self) -> list[str]:
        """The leading comment of the script's own file, a line each, without the dashes."""
        own = (_FOLDER / f"{self.name}.lua").read_text(encoding="utf-8")
        lines = []
        for line in own.splitlines():
            if not line.startswith("--"):
                break
            lines.append(line[2:].strip())
        return lines


def names() -> list[str]:
    """The names of all transitions, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua") if path.stem not in _SHARED)


def load_all() -> None:
    """Read all of them now: what replaces the files later, as an upgrade does, must not meet code of before."""
    for name in names():
        load(name)


@lru_cache(maxsize=None)
def load(name: str) -> Script:
    """The script of that name."""
    own = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    shared = _SHARED if re.search(rf"^-- uses +{_PLACES}$", own, flags=re.MULTILINE) else (_COMMON,)
    source = "".join((_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in shared) + own
    keys = [int(number) for number in re.findall(r"^-- KEYS\[(\d+)\]", own, flags=re.MULTILINE)]
    digest = hashlib.sha1(source.encode("utf-8")).hexdigest()  # noqa: S324 - Redis names scripts by SHA1
    return Script(name, source, digest, max(keys, default=0))
