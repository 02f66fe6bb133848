"""One part of a soak: random faults on one topology for some time, with samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from bizzmq.testing.site import SingleServer
from bizzmq.testing.stage import Settings
from bizzmq.testing.torture import Torture
from bizzmq.testing.verdict import Verdict
from tests.soak import growth, handler
from tests.soak.sampler import Sample, Sampler
from tests.soak.sites import CONFIRM, SITES, ClusterSite

RATE_HZ = 60.0
_WORKERS = 2


@dataclass(frozen=True)
class Soaked:
    """The result of one topology. `handled_each_second` counts successful runs by second from the start."""

    name: str
    begin_s: float
    verdict: Verdict
    samples: Sequence[Sample]
    handled_each_second: Mapping[int, int]

    def medians(self) -> dict[str, list[float]]:
        """The medians of each quarter of the time, for every value that must not grow."""
        return {
            name: [round(median, 1) for median in growth.medians([series.of(sample) for sample in self.samples])]
            for name, series in growth.WATCHED.items()
        }

    def problems(self) -> list[str]:
        """The problems of the balance, and the values that grow."""
        growing = [
            f"{name} grows steadily: {', '.join(map(str, parts))}"
            for name, parts in self.medians().items()
            if growth.grows(parts, growth.WATCHED[name].slack)
        ]
        own = (
            [f"{self.verdict.balance.crashed} workers have died by themselves"] if self.verdict.balance.crashed else []
        )
        return [*self.verdict.balance.problems, *own, *growing]

    def as_dict(self) -> dict[str, Any]:
        """The result for programs. Samples are rows of numbers in the order of `columns`; seconds from the start."""
        return {
            **self.verdict.as_dict(),
            "topology": self.name,
            "problems": self.problems(),
            "medians_by_quarter": self.medians(),
            "columns": ["at_s", "pss_mb", "rss_mb", "descriptors", "lasting_pss_mb", "lasting_descriptors",
                        "connections", "redis_mb"],
            "samples": [_row(sample, self.begin_s) for sample in self.samples],
            "handled_each_second": dict(sorted(self.handled_each_second.items())),
            "recoveries": [[one.kind, round(one.at_s - self.begin_s, 2), round(one.took_s, 4)]
                           for one in self.verdict.recoveries],
        }  # fmt: skip


def soak(
    name: str,
    seconds: float,
    seed: int,
    directory: Path,
    tell: Callable[[str, str], object] = lambda _kind, _about: None,
    rate_hz: float = RATE_HZ,
) -> Soaked:
    """Inject random faults into this topology for `seconds` seconds. The logs stay in the directory."""
    directory.mkdir(parents=True)
    site = SITES[name]()
    sampler = Sampler(site)
    try:
        settings = Settings(
            handler=f"{handler.__name__}:handler",
            seconds=seconds,
            seed=seed,
            concurrency=_WORKERS,
            rate_hz=rate_hz,
            bodies=handler.BODIES,
            confirm="" if isinstance(site, SingleServer) else CONFIRM,
            queues=site.queues if isinstance(site, ClusterSite) else ("soak",),
            bystanders=1,
        )
        torture = Torture(site, settings, directory, tell, sampler.start)
        verdict = torture.run()
        sampler.stop()
        runs = torture.stage.ledger.runs()
    finally:
        sampler.stop()
        (directory / "servers.log").write_text(site.log(), encoding="utf-8")
        site.close()
    begin_s = runs[0].start.time_s if runs else 0.0
    ends = Counter(int(run.end.time_s - begin_s) for run in runs if run.end is not None and run.succeeded)
    handled = {second: ends[second] for second in range(1 + max(ends, default=-1))}
    return Soaked(name, begin_s, verdict, sampler.samples, handled)


def _row(sample: Sample, begin_s: float) -> list[float]:
    everything, lasting = sample.everything, sample.lasting
    return [
        round(sample.at_s - begin_s, 2), round(everything.pss_mb, 1), round(everything.rss_mb, 1),
        everything.descriptors, round(lasting.pss_mb, 1), lasting.descriptors, sample.connections,
        round(sample.redis_mb, 2),
    ]  # fmt: skip
