"""What a loop notes about itself for whoever has to clean up after it, and what it is told while it runs."""

from __future__ import annotations


class Record:
    """Notes nothing: for a loop whose process nobody outlives. The pool's scoreboard overrides all of it."""

    is_recalled = False
    """Whether nothing more may be started of what was claimed: others get it, while this worker is busy for long."""

    def begin(
        self, message_id: bytes, queue_index: int, started_s: float, deadline_s: float, delivery: int, rest: int
    ) -> None:
        """This message is being run from now on, in this delivery; `rest` were claimed with it and come after it.

        Monotonic seconds; a deadline of 0 is none.
        """

    def finish(self, message_id: bytes) -> None:
        """It, and all that came before it, are finished; only their ack is still to be sent."""

    def acked(self) -> None:
        """Redis has acked all that was finished: from now on, none of it is this loop's."""

    def settling(self, message_id: bytes, queue_index: int) -> None:
        """Its attempt is over and its outcome is on the way to Redis: nobody is to blame any more."""

    def idle(self) -> None:
        """Nothing is being run."""

    def waits(self) -> None:
        """Nothing was found to run: a wait begins."""

    def holds_several(self) -> None:
        """More than one message was claimed: whoever watches over this loop may have to give some back."""

    def claims(self) -> None:
        """What was claimed before has been run or given back: more is asked for."""


class Gate:
    """Whether a loop may claim now. This one is always open; the pool's is the supervisor's to close."""

    def is_open(self, queue_index: int) -> bool:  # noqa: ARG002 - the pool's gate needs it
        return True
