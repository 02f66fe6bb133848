"""Sentences about messages that no queue stores, and about dead letters."""

from __future__ import annotations

from typing import Any, Mapping

from bizzmq.admin.explain.facts import Facts
from bizzmq.admin.stored_message import DEAD_LETTERED as IN_DEAD_LETTERS
from bizzmq.protocol.error_record import CRASH
from bizzmq.protocol.results import CANCELLED, DEAD_LETTERED, DISCARDED, SUCCEEDED
from bizzmq.utils.wording import span

EXPIRED = "expired"
_SHOWN = 200


def no_queue(facts: Facts) -> str:
    if facts.has_queue:
        return ""
    return f"there is no queue {facts.queue!r}: it was deleted with its messages, or never created"


def never_published(facts: Facts) -> str:
    if facts.message is not None or facts.ending is not None:
        return ""
    ago_s = facts.published_ago_s
    if ago_s is None:
        return "no queue has heard of it: this is not the id of a message"
    if ago_s < 0:
        return f"no queue has heard of it: its id is from {span(-ago_s)} in the future"
    if facts.created_at_s is not None and facts.now_s - facts.created_at_s < ago_s:
        age = span(facts.now_s - facts.created_at_s)
        return f"queue {facts.queue!r} has not heard of it: it was created {age} ago, and the id is {span(ago_s)} old"
    return ""


def ended(facts: Facts) -> str:
    if facts.message is not None or facts.ending is not None:
        return ""
    where = f"queue {facts.queue!r} does not store it" if facts.queue else "no queue stores it"
    ago = span(facts.published_ago_s or 0.0)
    return f"{where}: published {ago} ago, it has ended and kept no result (or it is no longer kept), or was deleted"


def succeeded(facts: Facts) -> str:
    ending = _ending(facts, SUCCEEDED)
    if ending is None:
        return ""
    took = ""
    if ending.started_ms is not None and ending.finished_ms is not None:
        took = f", which took {span((ending.finished_ms - ending.started_ms) / 1000)}"
    return f"done{_finished(facts)}, in delivery {ending.delivery}{took}; its result is kept"


def discarded(facts: Facts) -> str:
    ending = _ending(facts, DISCARDED)
    if ending is None:
        return ""
    return f"discarded{_finished(facts)}, since its queue keeps no dead letters: {error_of(ending.error or {})}"


def failed_and_deleted(facts: Facts) -> str:
    ending = _ending(facts, DEAD_LETTERED)
    if ending is None:
        return ""
    return f"dead-lettered{_finished(facts)}, and no longer stored: {error_of(ending.error or {})}"


def cancelled(facts: Facts) -> str:
    ending = _ending(facts, CANCELLED)
    if ending is None:
        return ""
    return (
        f"{_text((ending.error or {}).get('error')) or CANCELLED}; that was{_finished(facts) or ' at an unknown time'}"
    )


def expired(facts: Facts) -> str:
    if facts.expired_for_s is not None:
        return f"expired {span(facts.expired_for_s)} ago: it is not started any more, and the next worker removes it"
    ending = _ending(facts, EXPIRED)
    return "" if ending is None else f"expired{_finished(facts)}: no worker has started it in time"


def quarantined(facts: Facts) -> str:
    error = _letter(facts)
    if error.get("error_type") != CRASH:
        return ""
    return f"quarantined in {_queue(facts)}{_failed_at(error)}: {_text(error.get('error'))}"


def dead_lettered(facts: Facts) -> str:
    message = facts.message
    if message is None or message.state != IN_DEAD_LETTERS:
        return ""
    error = _letter(facts)
    if not error:
        return f"a message of the dead-letter queue {_queue(facts)}, without an error record"
    delivery = f" after delivery {error['delivery']}" if isinstance(error.get("delivery"), int) else ""
    again = error.get("handler_error")
    parked = f"; the handler of {_queue(facts)} has failed, too: {error_of(again)}" if isinstance(again, dict) else ""
    return f"dead-lettered{delivery}{_failed_at(error)}: {error_of(error)}{parked}"


def error_of(record: Mapping[str, Any]) -> str:
    """An error record in one line."""
    kind, text = _text(record.get("error_type")), _text(record.get("error"))
    return f"{kind}: {text}" if text else kind


def _ending(facts: Facts, state: str) -> Any:
    is_it = facts.message is None and facts.ending is not None and facts.ending.state == state
    return facts.ending if is_it else None


def _letter(facts: Facts) -> Mapping[str, Any]:
    message = facts.message
    return message.error if message is not None and message.state == IN_DEAD_LETTERS else {}


def _queue(facts: Facts) -> str:
    return facts.message.queue if facts.message else facts.queue


def _finished(facts: Facts) -> str:
    milliseconds = facts.ending.finished_ms if facts.ending else None
    return "" if milliseconds is None else f" {span(facts.now_s - milliseconds / 1000)} ago"


def _failed_at(error: Mapping[str, Any]) -> str:
    return f" at {error['failed_at'][:_SHOWN]}" if isinstance(error.get("failed_at"), str) else ""


def _text(value: Any) -> str:
    lines = str(value or "").strip().splitlines()
    return lines[0][:_SHOWN] if lines else ""
