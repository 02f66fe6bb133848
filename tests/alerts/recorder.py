"""A sender that keeps what it is given."""

from __future__ import annotations

from typing import List, Tuple

from bizzmq.alerts.rules import KINDS, Limits, Rules
from bizzmq.alerts.senders import Notice, SendError

OFF = dict.fromkeys(KINDS, Limits(None))


class Recorder:
    """Keeps notices; `fails` makes it refuse them."""

    def __init__(self, longest_s: float = 1.0) -> None:
        self.longest_s, self.notices, self.fails = longest_s, [], False
        self.notices: List[Notice]

    def send(self, notice: Notice) -> None:
        if self.fails:
            raise SendError("it is out of order")
        self.notices.append(notice)

    @property
    def sent(self) -> List[Tuple[str, str, str]]:
        """Kind, state and queue of each notice."""
        return [(one.alert, one.state, one.queue) for one in self.notices]


def only(*queues: str, **limits: float) -> Rules:
    """Rules with these limits: `no_worker=0`."""
    given = {kind.replace("_", "-"): Limits(limit) for kind, limit in limits.items()}
    return Rules({**OFF, **given}, queues)
