"""Pauses and resumes as functions from a queue to an outcome, and what is put aside for them."""

from __future__ import annotations

from typing import Callable, Collection, Dict, Iterable, Set, Tuple

from tests.model.queue import Outcome, Queue

QUEUE, RESUMING = "queue", "resuming"
FIRST_PAGE = "+inf"
PAGE = 100
HOLD_MS = 10_000
_PROPERTIES = {"a": ("t1", ""), "b": ("t2", "k"), "c": ("", "k")}


def properties(message_id: str) -> Tuple[str, str]:
    """The task and the key of a message, by the last letter of its id. Only some ids tell one."""
    return _PROPERTIES.get(message_id[-1:], ("", "")) if message_id.startswith("n") else ("", "")


def held_pauses(queue: Queue) -> Set[str]:
    """The names of the pauses that hold now. A resume under way holds the queue."""
    found = {name for name, until_ms in queue.pauses if until_ms > queue.now_ms or (not until_ms and name != RESUMING)}
    return {QUEUE if name == RESUMING else name for name in found}


def covers(pauses: Collection[str], message_id: str) -> bool:
    """Whether the task or the key of a message is paused."""
    task, key = properties(message_id)
    return (task != "" and f"task:{task}" in pauses) or (key != "" and f"key:{key}" in pauses)


def put_aside(queue: Queue, ids: Iterable[str]) -> Queue:
    """Put ids aside, oldest first, behind those that are there."""
    last = max((score for _, score in queue.suspended), default=0)
    return queue._replace(suspended=queue.suspended + tuple((name, last + at) for at, name in enumerate(ids, 1)))


def pause(queue: Queue, _operator: str, name: str, duration_ms: int) -> Outcome:
    return Outcome(_with(queue, name, queue.now_ms + duration_ms if duration_ms else 0), None)


def _with(queue: Queue, name: str, until_ms: int) -> Queue:
    return queue._replace(pauses=tuple(sorted({**dict(queue.pauses), name: until_ms}.items())))


def _without(queue: Queue, names: Collection[str]) -> Queue:
    return queue._replace(pauses=tuple(pair for pair in queue.pauses if pair[0] not in names))


def resume(queue: Queue, _operator: str, name: str, page: str) -> Outcome:
    """The reply is whether a pause has ended, how many messages have returned, and where the next page begins."""
    over = [one for one, until_ms in queue.pauses if one != RESUMING and 0 < until_ms <= queue.now_ms]
    ended = [one for one, _ in queue.pauses if one == name] if name else over
    begun = dict(queue.pauses).get(RESUMING)
    queue = _without(queue, ended)
    frees_some = page != FIRST_PAGE or any(one != QUEUE for one in ended) or (not name and not queue.pauses)
    if not frees_some and begun is None:
        return Outcome(queue, (bool(ended), 0, ""), wake=True)
    limit = float(page.lstrip("("))
    looked_at = [pair for pair in reversed(queue.suspended) if pair[1] < limit][:PAGE]
    pauses = held_pauses(queue)
    back = [one for one, _ in looked_at if not covers(pauses, one)]
    queue = queue._replace(suspended=tuple(pair for pair in queue.suspended if pair[0] not in back))
    queue = queue.enqueued(reversed(back), at_head=True)
    if len(looked_at) < PAGE:
        return Outcome(_without(queue, [RESUMING]), (bool(ended), len(back), ""), wake=True)
    queue = _with(queue, RESUMING, queue.now_ms + HOLD_MS if back or begun else 0)
    return Outcome(queue, (bool(ended), len(back), f"({looked_at[-1][1]}"))


PAUSES: Dict[str, Callable[..., Outcome]] = {"pause": pause, "resume": resume}
