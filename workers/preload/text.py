"""The report of an inspection: in a line for the log, and in full."""

from __future__ import annotations

from typing import Collection, Iterator, List

from bizzmq.workers.preload.finding import Effect, Finding

_IN_A_LINE = 3
_WAYS_OUT = (
    ("bizzmq.on_worker_boot(f)", "makes it in each worker instead of in the import"),
    ("bizzmq.preload.safe(thing)", "in the module: says that it bears a fork"),
    ("--preload on", "forks all the same"),
)


def named(findings: Collection[Finding], effect: Effect) -> str:
    """What has this effect, for the log: the first three, and how many more there are."""
    shown = [f"{one.kind}: {one.what}" for one in findings if one.effect is effect]
    more = [f"{len(shown) - _IN_A_LINE} more"] if len(shown) > _IN_A_LINE else []
    return "; ".join([*shown[:_IN_A_LINE], *more])


def report(handler: str, import_s: float, findings: List[Finding]) -> Iterator[str]:
    """All of it, line by line."""
    yield f"{handler} was imported in {import_s:.2f} s."
    if findings:
        yield ""
    for one in findings:
        where = f"  ({one.where})" if one.where else ""
        yield f"{one.effect.value:<22}  {one.kind:<16}  {one.what}{where}"
        if one.why:
            yield f"{'':<42}-> {one.why}"
    yield ""
    count = sum(one.effect is Effect.OFF for one in findings)
    if not count:
        yield "Workers are forked from the process that has imported it."
        return
    yield f"Each worker imports it by itself: {count} of these do{'es' if count == 1 else ''} not bear a fork."
    width = max(len(way) for way, _ in _WAYS_OUT)
    for way, what in _WAYS_OUT:
        yield f"  {way:<{width}}  {what}"
