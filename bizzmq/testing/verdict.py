"""The report of a torture run, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Mapping, Sequence

from bizzmq.testing.balance import Balance
from bizzmq.testing.recovery import Recovery, percentile


@dataclass(frozen=True)
class Verdict:
    """The result of one torture run; `seconds` is how long faults were injected."""

    seed: int
    seconds: float
    balance: Balance
    strikes: Mapping[str, int]
    recoveries: Sequence[Recovery]

    @property
    def holds(self) -> bool:
        """Whether nothing was lost and every invariant held."""
        return not self.balance.problems

    def recovery_s(self, percent: float, kind: str = "") -> float | None:
        """A percentile of the recovery times of all faults or of one kind; None if no work was stopped."""
        return percentile([one.took_s for one in self.recoveries if one.kind == kind or not kind], percent)

    def rows(self) -> dict[str, str]:
        """The rows of the table for people."""
        balance = self.balance
        quick, slow = (_milliseconds(self.recovery_s(percent)) for percent in (50, 99))
        return {
            "seed": str(self.seed),
            "published": f"{balance.published:,}",
            "handled": f"{balance.handled:,}",
            "failed by the handler itself": f"{balance.failed:,}, dead-lettered",
            **({"never confirmed, and gone": f"{balance.unconfirmed:,}"} if balance.unconfirmed else {}),
            "lost": f"{balance.lost:,}",
            "duplicated": f"{balance.duplicated:,}: {balance.cut_off:,} cut off, {balance.twice:,} by a lost ack",
            "recovery p50 / p99": f"{quick} / {slow}",
        }

    def fault_rows(self) -> list[list[Any]]:
        """Kind, number, recovery p50 and p99 of each kind of fault that has struck."""
        return [
            [kind, count, *(_milliseconds(self.recovery_s(percent, kind)) for percent in (50, 99))]
            for kind, count in self.strikes.items()
        ]

    def as_dict(self) -> dict[str, Any]:
        """The report for programs. Times in seconds."""
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "holds": self.holds,
            **asdict(self.balance),
            "duplicated": self.balance.duplicated,
            "recovery_s": {"p50": self.recovery_s(50), "p99": self.recovery_s(99)},
            "faults": {
                kind: {"count": count, "p50_s": self.recovery_s(50, kind), "p99_s": self.recovery_s(99, kind)}
                for kind, count in self.strikes.items()
            },
        }


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:,.0f} ms"
