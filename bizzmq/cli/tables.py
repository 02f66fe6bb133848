"""Tables and lines that fit the terminal. In a pipe or a file, cells are cut only beyond CELL_LIMIT."""

from __future__ import annotations

import os
import sys
import textwrap
import unicodedata
from typing import Any, Mapping, Sequence

from bizzmq.utils import logs
from bizzmq.utils.standard_streams import show, show_lines

CELL_LIMIT = 200
"""The most characters of a table's cell, also in a pipe or a file; `--json` shows more."""
_GAP = "  "
_CUT = "..."
_LEAST = 4
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def terminal_width() -> int | None:
    """The number of columns of the terminal; None if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isdigit() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def table(
    rows: Sequence[Sequence[Any]],
    head: Sequence[str],
    *,
    optional: Sequence[str] = (),
    cut: Mapping[str, int] | None = None,
) -> set[str]:
    """Print aligned columns, with numbers aligned to the right.

    Args:
        optional: columns that are left out on a narrow terminal, in this order.
        cut: column -> the fewest characters to which it is cut; columns are cut before any is left out.

    Returns:
        The columns that were left out.
    """
    limit = terminal_width()
    text = [[_cell(_bounded(cell)) for cell in row] for row in rows]
    columns = {name: [row[i] for row in text] for i, name in enumerate(head)}
    numeric = {name for i, name in enumerate(head) if rows and all(isinstance(row[i], int) for row in rows)}
    widths = {name: max(map(_width, [name, *cells])) for name, cells in columns.items()}
    left_out: set[str] = set()
    if limit is not None:
        left_out = _fit(widths, limit, optional, cut or {})
    lines = []
    for index in range(-1, len(text)):
        cells = [name if index < 0 else columns[name][index] for name in widths]
        padded = [_pad(cell, widths[name], right=name in numeric) for name, cell in zip(widths, cells)]
        lines.append(_cut(_GAP.join(padded).rstrip(), limit))
    show_lines(lines)
    return left_out


def _bounded(cell: Any) -> Any:
    return logs.cut(cell, CELL_LIMIT) if isinstance(cell, str) else cell


def show_folded(line: str) -> None:
    """Print a line, wrapped at the terminal's width."""
    limit = terminal_width()
    text = _cell(logs.cut(line))
    if limit is None or _width(text) <= limit:
        show(text)
    else:
        show_lines(textwrap.wrap(text, limit, subsequent_indent=_GAP))


def ago(seconds: float) -> str:
    """An age in words: `3 min ago`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"


def _fit(widths: dict[str, int], limit: int, optional: Sequence[str], cut: Mapping[str, int]) -> set[str]:
    """Make columns narrower and leave some out, until they fit; returns those that are left out."""
    least = {name: min(width, cut.get(name, width)) for name, width in widths.items()}
    left_out = set()
    for name in optional:
        if _total(least) <= limit:
            break
        del widths[name], least[name]
        left_out.add(name)
    for name in cut:
        if name in least:
            room = limit - _total(least)
            widths[name] = max(min(_LEAST, least[name]), min(widths[name], least[name] + room))
            least[name] = widths[name]
    return left_out


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _cell(value: Any) -> str:
    """A value as shown: on one line, with characters that stdout cannot encode escaped."""
    text = f"{value:,}" if isinstance(value, int) else logs.escape(str(value))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _width(text: str) -> int:
    return len(text) if text.isascii() else sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _pad(text: str, width: int, *, right: bool) -> str:
    shown = _cut(text, width)
    spaces = " " * (width - _width(shown))
    return spaces + shown if right else shown + spaces


def _cut(text: str, width: int | None) -> str:
    if width is None or _width(text) <= width:
        return text
    mark = _CUT[:width]
    room, kept = width - len(mark), []
    for character in text:
        room -= _width_of(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + mark
