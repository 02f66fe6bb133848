"""Long lists on numbered pages."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple, TypeVar

from bizzmq.web.site import Look

PAGE = 100
"""The rows of a page."""
T = TypeVar("T")


def page_of(look: Look, rows: Sequence[T], *, missing: int = 0) -> Tuple[Sequence[T], Dict[str, int]]:
    """The rows of the page that the query asks for; and for its template, `page` and `pages`, both from 1.

    Args:
        missing: how many rows there are beyond these.
    """
    text = look.query.get("page", "")
    pages = max(1, -(-(len(rows) + missing) // PAGE))
    page = min(pages, max(1, int(text)) if text.isdigit() and len(text) < 7 else 1)
    return rows[(page - 1) * PAGE : page * PAGE], {"page": page, "pages": pages}
