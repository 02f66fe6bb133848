"""The scripts for what messages have beside them, and for retention, as functions from a queue to an outcome."""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Tuple

from tests.model.pauses import covers, held_pauses, put_aside
from tests.model.queue import LEASE_LOST, Counts, Entry, Ids, Outcome, Queue, changed, totals

FULL = "the queue is full"
THROTTLE_MS = 3_600_000


class Terms(NamedTuple):
    """What the messages of a checked publish have in common. `later` stands for a delay, `limit` 0 for no limit."""

    later: bool = False
    priority: int = 0
    until_started: bool = False
    replaces: bool = False
    expires: bool = False
    limit: int = 0
    drops_oldest: bool = False
    throttles: bool = False

    @property
    def when(self) -> str:
        """The part of the delayed set in which a replaced message is then."""
        return "delayed" if self.later else "due"

    def entry(self, key: str) -> Entry:
        key = "" if self.throttles else key
        return Entry(key, self.until_started and key != "", "later" if self.expires else "")


def publish_checked(queue: Queue, _publisher: str, number: int, terms: Terms, ids: Ids, keys: Ids) -> Outcome:
    """The reply is what stands for the messages, and how many older ones were dropped."""
    executed, returned = queue.checked
    if executed >= number:
        return Outcome(queue, (returned, 0))
    new: List[Tuple[str, str]] = []
    superseded: List[str] = []
    stands: List[str] = []
    replaced: Dict[str, str] = {}
    by_key: Dict[str, str] = {}
    for message_id, key in zip(ids, keys):
        owner = (_throttling(queue, key) if terms.throttles else dict(queue.unique).get(key, "")) if key else ""
        if key in by_key:
            found = "earlier"
        elif terms.throttles:
            found = "duplicate" if owner else ""  # also if that message has ended
        else:
            found = meeting(queue, owner, replaces=terms.replaces)
        stands.append({"": message_id, "earlier": by_key.get(key, "")}.get(found, owner))
        if not found:
            new.append((message_id, key))
            superseded += [owner] if owner else []
        elif terms.replaces and found != "earlier":
            replaced[owner] = found
        if key:
            by_key[key] = stands[-1]
    length = len(queue.waiting) + len(queue.prioritized) + len(queue.due) + len(queue.delayed)
    excess = length + len(new) - terms.limit if terms.limit and new else 0
    if excess > 0 and not terms.drops_oldest:
        return Outcome(queue, FULL)
    queue = _stored(queue, terms, new, superseded)
    queue = _with_replaced(queue, terms, replaced, tuple(name for name, _ in new) if terms.later else ())
    queue, dropped = _without_oldest(queue._replace(checked=(number, tuple(stands))), excess)
    counted = totals(published=len(new), duplicates=len(ids) - len(new), dropped=dropped)
    return Outcome(queue, (tuple(stands), dropped), counted, wake=bool(new) or "delayed" in replaced.values())


def _throttling(queue: Queue, key: str) -> str:
    """The message that has a throttled key, "" if its time is over."""
    owner, until_ms = dict(queue.throttled).get(key, ("", 0))
    return owner if until_ms > queue.now_ms else ""


def meeting(queue: Queue, owner: str, *, replaces: bool) -> str:
    """What becomes of a message whose key `owner` has: "" it is new, else another one stands for it."""
    if not owner or not queue.is_own(owner):
        return ""
    has_expired = queue.entry(owner).expires == "past"
    if not replaces and not has_expired:
        return "duplicate"
    is_delayed = owner in queue.due + queue.delayed
    is_running = not is_delayed and any(owner in queue.held(worker) for worker, _ in queue.workers)
    if has_expired:
        return "duplicate" if is_running and not replaces else ""
    return "delayed" if is_delayed else "" if is_running else "waiting"


def _stored(queue: Queue, terms: Terms, new: List[Tuple[str, str]], superseded: List[str]) -> Queue:
    ids = tuple(message_id for message_id, _ in new)
    for message_id, key in new:
        if terms.entry(key) != Entry():
            queue = queue.with_entry(message_id, terms.entry(key))
    owned = {key: message_id for message_id, key in new if key}
    if terms.throttles:
        queue = throttled(queue, owned, THROTTLE_MS)
    else:
        queue = queue._replace(unique=changed(queue.unique, owned))
    for owner in superseded:
        if queue.is_own(owner):
            queue = queue.with_entry(owner, queue.entry(owner)._replace(is_superseded=True))
    if terms.priority:
        queue = queue.with_counts(dict.fromkeys(ids, f"0 0 0 {terms.priority}"))
    return queue._replace(delayed=queue.delayed + ids) if terms.later else queue.enqueued(ids)


def throttled(queue: Queue, owned: Dict[str, str], ttl_ms: int) -> Queue:
    until_ms = queue.now_ms + ttl_ms
    news = {key: (message_id, until_ms) for key, message_id in owned.items()}
    return queue._replace(throttled=changed(queue.throttled, news))


def _with_replaced(queue: Queue, terms: Terms, replaced: Dict[str, str], new_later: Ids) -> Queue:
    for owner in replaced:
        priority = Counts.of(queue.counts(owner)).priority
        queue = queue.with_entry(owner, terms.entry(queue.entry(owner).key))
        queue = queue.with_counts({owner: f"0 0 0 {priority}" if priority else ""})
        queue = queue._replace(saved=tuple(name for name in queue.saved if name != owner))
    moved = tuple(owner for owner, place in replaced.items() if place == "delayed")
    together = tuple(sorted(moved + new_later))  # they are due at one time
    left = queue.without_places(together) if moved else queue
    return left._replace(**{terms.when: getattr(left, terms.when) + together}) if moved else queue


def _without_oldest(queue: Queue, excess: int) -> Tuple[Queue, int]:
    """Low priorities are dropped first, the oldest of each; then what is delayed."""
    dropped = 0
    while dropped < excess:
        low = queue.prioritized[-1:]
        if not queue.waiting or (low and queue.rank(low[0]) > 0):
            low = tuple(name for name in queue.prioritized if low and queue.rank(name) == queue.rank(low[0]))[:1]
        else:
            low = queue.waiting[:1]
        chosen = low or (queue.due + queue.delayed)[:1]
        if not chosen:
            break
        queue, dropped = queue.without_places(chosen).without_messages(chosen), dropped + 1
    return queue, dropped


def admitted(queue: Queue, taken: Ids) -> Tuple[Queue, Ids, Dict[str, int]]:
    """Those of newly taken messages that may run, and how many of the others have expired, are cancelled or aside."""
    if not queue.extras and not queue.pauses:
        return queue, taken, {}
    cancelled = [name for name in taken if name in queue.cancels]
    expired = [name for name in taken if name not in cancelled and queue.entry(name).expires == "past"]
    pauses = held_pauses(queue)
    aside = [name for name in taken if name not in cancelled + expired and covers(pauses, name)]
    started = tuple(name for name in taken if name not in cancelled + expired + aside)
    queue = queue.without_messages(cancelled + expired)
    queue = put_aside(queue.without_keys([name for name in started if queue.entry(name).until_started]), aside)
    return queue, started, {"expired": len(expired), "cancelled": len(cancelled), "suspended": len(aside)}


def cancel(queue: Queue, _operator: str, ids: Ids) -> Outcome:
    """The reply is how many have ended, and of how many it is requested."""
    anywhere = queue.waiting + queue.prioritized + queue.due + queue.delayed + queue.aside
    ended = tuple(name for name in ids if name in anywhere)
    held = [name for name in ids if queue.is_own(name) and name not in ended]
    queue = queue.without_places(ended).without_messages(ended)
    for name in held:
        queue = queue.with_entry(name, queue.entry(name))
    queue = queue._replace(cancels=tuple(sorted({*queue.cancels, *held})))
    return Outcome(queue, (len(ended), len(held)), totals(cancelled=len(ended)))


def record(queue: Queue, worker: str, message_id: str) -> Outcome:
    """A worker saves progress and a checkpoint of a message that it holds."""
    if not queue.is_registered(worker):
        return Outcome(queue, LEASE_LOST)
    if message_id not in queue.held(worker):
        return Outcome(queue, False)
    queue = queue.with_entry(message_id, queue.entry(message_id))
    return Outcome(queue._replace(saved=tuple(sorted({*queue.saved, message_id}))), True)


def expire_dead_letters(queue: Queue, _janitor: str, least: int, ids: Ids) -> Outcome:
    """The reply is how many were removed: the first ones of those that are there, while `least` stay."""
    there = [name for name in ids if name in queue.dead]
    gone = there[: max(0, len(queue.dead) - least)]
    queue = queue.without_messages(gone)._replace(dead=tuple(name for name in queue.dead if name not in gone))
    return Outcome(queue, len(gone), dead_stats=totals(expired=len(gone)))


BESIDE: Dict[str, Callable[..., Outcome]] = {
    "publish_checked": publish_checked,
    "cancel": cancel,
    "record": record,
    "expire_dead_letters": expire_dead_letters,
}
