"""Long lists on numbered pages."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple, TypeVar

from bizzmq.web.site import Look

PAGE = 100
"""The rows of a page."""
T = TypeVar("T")


def page_of(look: Look, rows: Sequence[T], *, missing: int = 0, size: int = PAGE) -> Tuple[Sequence[T], Dict[str, int]]:
    """The rows of the page that the query asks for; and for its template, `page` and `pages`, both from 1.

    Args:
        missing: how many rows there are beyond these.
        size: the rows of a page.
    """
    text = look.query.get("page", "")
    pages = max(1, -(-(len(rows) + missing) // size))
    page = min(pages, max(1, int(text)) if text.isdigit() and len(text) < 7 else 1)
    return rows[(page - 1) * size : page * size], {"page": page, "pages": pages}
