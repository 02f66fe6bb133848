"""docs/internals/mutants.md: mutants that are known to survive, and the reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Dict, List, Tuple

from tests.mutation.mutants import Mutant

PATH = Path(__file__).parents[2] / "docs" / "internals" / "mutants.md"
Key = Tuple[str, str, str]


def known(text: str) -> Dict[Key, str]:
    """Reason of each mutant in the tables `| script | line | becomes | reason |`."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").replace("\\|", "\0").split("|")]
        if len(cells) == 4 and cells[0].endswith(".lua"):
            script, before, after, reason = (cell.replace("\0", "|") for cell in cells)
            found[script[: -len(".lua")], _text(before), _text(after)] = reason
    return found


def tried(text: str) -> List[str]:
    """Scripts in the table `| script | mutants | killed | survived |`: a run without names tries these."""
    return re.findall(r"^\| (\w+) (?:\| \d+ ){3}\|$", text, re.MULTILINE)


def row(mutant: Mutant, reason: str) -> str:
    """A row of this table."""
    cells = [f"{mutant.script}.lua", _code(mutant.before), _code(mutant.after), reason]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else "(nothing)"


def _text(cell: str) -> str:
    return "" if cell == "(nothing)" else cell.strip("`")
