"""Explore by name, or all that the nightly run explores: python -m tests.model [NAME ...]."""

from __future__ import annotations

import sys
import time

from tests.model.history import Broken
from tests.model.scenarios import DEEP, SCENARIOS, explored


def main(names: list[str]) -> int:
    for name in names or DEEP:
        started_s = time.monotonic()
        try:
            found = explored(name)
        except Broken as broken:
            print(f"{name}: broken\n{broken}")  # noqa: T201 - a command's result
            return 1
        explored.cache_clear()  # one exploration may hold a gigabyte
        print(f"{name}: {found}, {time.monotonic() - started_s:.0f} s", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - set(SCENARIOS)
    if unknown:
        sys.exit(f"no such exploration: {', '.join(sorted(unknown))}; there are: {', '.join(SCENARIOS)}")
    sys.exit(main(sys.argv[1:]))
