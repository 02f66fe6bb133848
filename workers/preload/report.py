"""The report of an inspection, as one line for the log and in full."""

from __future__ import annotations

from typing import Collection, Iterator, List

from bizzmq.workers.preload import patches
from bizzmq.workers.preload.finding import Effect, Finding

_MAX_IN_SUMMARY = 3
_REMEDIES = (
    ("bizzmq.on_worker_boot(f)", "makes it in each worker instead of during the import"),
    ("bizzmq.preload.safe(thing)", "in the module: declares it fork-safe"),
    ("--preload on", "forks in any case"),
)


def summary(findings: Collection[Finding], effect: Effect) -> str:
    """The findings with this effect, for the log: the first three, and the number of the others."""
    shown = [f"{one.kind}: {one.what}" for one in findings if one.effect is effect]
    more = [f"{len(shown) - _MAX_IN_SUMMARY} more"] if len(shown) > _MAX_IN_SUMMARY else []
    return "; ".join([*shown[:_MAX_IN_SUMMARY], *more])


def lines(handler: str, import_s: float, findings: List[Finding]) -> Iterator[str]:
    """The full report, line by line."""
    yield f"{handler} was imported in {import_s:.2f} s."
    if findings:
        yield ""
    for one in findings:
        where = f"  ({one.where})" if one.where else ""
        yield f"{one.effect.value:<23}  {one.kind:<16}  {one.what}{where}"
        if one.why:
            yield f"{'':<43}-> {one.why}"
    yield ""
    count = sum(one.effect is Effect.OFF for one in findings)
    if not count:
        yield "Workers are forked from the process that has imported it."
        return
    yield f"Each worker imports it by itself: {count} of these {'is' if count == 1 else 'are'} not fork-safe."
    if findings[0].kind == patches.KIND:
        return  # no option and no declaration makes it fork-safe
    width = max(len(remedy) for remedy, _ in _REMEDIES)
    for remedy, effect in _REMEDIES:
        yield f"  {remedy:<{width}}  {effect}"
