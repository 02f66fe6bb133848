"""Makes HTML of values: the templates, and how numbers, times and texts of strangers are shown."""

from __future__ import annotations

import json
import unicodedata
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional
from urllib.parse import quote, urlencode

import jinja2
from jinja2.bccache import Bucket
from markupsafe import Markup

import bizzmq
from bizzmq.utils import logs, wording

FOLDER = Path(__file__).parent
_NONE = "\u2013"
_SHOWN = 20_000
"""The most characters of a body or traceback on a page."""


class Shown(NamedTuple):
    """A page, or a part of one, that was rendered.

    Attributes:
        html: what it shows.
        title: its title.
        status: the HTTP status.
        is_trouble: whether Redis could not be read, so that what was shown before is the best that is known.
        sentence: what is wrong, for trouble.
    """

    html: str
    title: str = ""
    status: int = 200
    is_trouble: bool = False
    sentence: str = ""


class _Compiled(jinja2.BytecodeCache):
    """The compiled templates of this process, for all of its dashboards."""

    def __init__(self) -> None:
        self._known: Dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket, if its template was compiled before."""
        if bucket.key in self._known:
            bucket.bytecode_from_string(self._known[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that was compiled."""
        self._known[bucket.key] = bucket.bytecode_to_string()


_compiled = _Compiled()


def environment(clock: Callable[[], float]) -> jinja2.Environment:
    """The templates with their filters. Every value is escaped; a name that is missing is an error.

    Args:
        clock: Redis's clock, seconds since the epoch.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(FOLDER / "templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_compiled,
    )
    made.filters.update({
        "ago": lambda at_s: ago(at_s, clock()), "block": block, "brief": brief, "bytes": size, "count": count,
        "json_block": json_block, "line": line, "moment": moment, "part": path_part, "rate": rate,
        "span": span, "words": words,
    })  # fmt: skip
    made.globals.update({"version": bizzmq.__version__, "query": query})
    for name in made.list_templates():
        made.get_template(name)  # compiled now, and not for the first reader
    return made


def count(number: Optional[float]) -> str:
    """`12,345`; a dash for None."""
    return _NONE if number is None else f"{number:,.0f}"


def rate(number: Optional[float]) -> str:
    """A number a minute: `0`, `0.4`, `12`, `12,345`."""
    if number is None:
        return _NONE
    return f"{number:.1f}" if 0 < number < 10 and round(number, 1) != round(number) else f"{number:,.0f}"


def span(seconds: Optional[float]) -> str:
    """A length of time, in whole seconds below a minute; a dash for None."""
    if seconds is None:
        return _NONE
    return "<1 s" if seconds < 1 else wording.span(float(int(seconds)))


def brief(seconds: Optional[float]) -> str:
    """A short length of time: `0.4 ms`, `12 ms`, `1.3 s`; a dash for None."""
    if seconds is None:
        return _NONE
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else wording.span(seconds)


def size(number: Optional[float]) -> str:
    """A number of bytes: `512 kB`, `34 MB`; a dash for None."""
    if number is None:
        return _NONE
    return f"{number / 1e6:,.0f} MB" if number >= 9.95e5 else f"{number / 1e3:,.0f} kB"


def ago(at_s: Optional[float], now_s: float) -> str:
    """A time as `3 min ago`, with the time itself for those who ask."""
    if at_s is None:
        return _NONE
    left_s = now_s - at_s
    text = f"{span(left_s)} ago" if left_s >= 0 else f"in {span(-left_s)}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(_iso(at_s), moment(at_s), text)


def moment(at_s: Optional[float]) -> str:
    """A time as `2026-11-30 19:55:01 UTC`."""
    if at_s is None:
        return _NONE
    try:
        return f"{datetime.fromtimestamp(at_s, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return "?"


def _iso(at_s: float) -> str:
    return moment(at_s).replace(" UTC", "Z").replace(" ", "T")


def line(value: Any, limit: int = 200) -> str:
    """A text of a stranger on one line: control characters and those that turn the writing direction are visible."""
    return logs.escape(logs.cut(value if isinstance(value, str) else json.dumps(value, default=str), limit))


def block(text: Any, limit: int = _SHOWN) -> str:
    """A text of a stranger with its lines. The other control characters are visible."""
    cut = logs.cut(str(text), limit)
    return "".join(one if one in "\n\t" or not _is_hidden(one) else _escaped(one) for one in cut)


def _is_hidden(one: str) -> bool:
    return unicodedata.category(one) in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")


def json_block(value: Any, limit: int = _SHOWN) -> str:
    """A JSON value as text with its lines."""
    return block(json.dumps(value, indent=2, ensure_ascii=False, default=str), limit)


def words(name: str) -> str:
    """`dead_lettered` as `dead lettered`."""
    return str(name).replace("_", " ")


def path_part(text: str) -> str:
    """A text as one part of a URL's path."""
    return quote(text, safe="")


def query(**fields: Any) -> str:
    """`?name=value`, without what is empty."""
    known = {name: value for name, value in fields.items() if value not in ("", None, False)}
    return f"?{urlencode(known)}" if known else ""
