"""A picture of each topology: throughput, memory, descriptors, connections and recovery times over time."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from tests.soak.topology import Soaked

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999", "#882255", "#44AA99")


def is_possible() -> bool:
    """Whether matplotlib is installed."""
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        return False
    return True


def draw(soaked: Soaked, directory: Path) -> Path:
    """Write soak-TOPOLOGY.png."""
    importlib.import_module("matplotlib").use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    figure, panels = plt.subplots(5, 1, figsize=(9, 11), sharex=True, layout="constrained")
    minutes = [(sample.at_s - soaked.begin_s) / 60 for sample in soaked.samples]
    throughput, memory, descriptors, connections, recovery = panels
    seconds = sorted(soaked.handled_each_second)
    throughput.plot([s / 60 for s in seconds], [soaked.handled_each_second[s] for s in seconds], linewidth=0.7)
    throughput.set_ylabel("messages handled / s")
    for label, values in (
        ("all pools, RSS", [sample.everything.rss_mb for sample in soaked.samples]),
        ("all pools, PSS", [sample.everything.pss_mb for sample in soaked.samples]),
        ("lasting pool, PSS", [sample.lasting.pss_mb for sample in soaked.samples]),
        ("servers", [sample.redis_mb for sample in soaked.samples]),
    ):
        memory.plot(minutes, values, label=label, linewidth=0.9)
    memory.set_ylabel("memory, MB")
    for label, counts in (
        ("all pools", [sample.everything.descriptors for sample in soaked.samples]),
        ("lasting pool", [sample.lasting.descriptors for sample in soaked.samples]),
    ):
        descriptors.plot(minutes, counts, label=label, linewidth=0.9)
    descriptors.set_ylabel("open descriptors")
    connections.plot(minutes, [sample.connections for sample in soaked.samples], linewidth=0.9)
    connections.set_ylabel("connections")
    kinds = sorted({one.kind for one in soaked.verdict.recoveries})
    for kind, colour in zip(kinds, COLOURS):
        of_kind = [one for one in soaked.verdict.recoveries if one.kind == kind]
        recovery.scatter([(one.at_s - soaked.begin_s) / 60 for one in of_kind], [one.took_s for one in of_kind],
                         s=9, color=colour, label=kind)  # fmt: skip
    if kinds:
        recovery.set_yscale("log")
    recovery.set_ylabel("recovery, s")
    recovery.set_xlabel("minutes")
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize=8, ncols=4)
    for panel in panels[:4]:
        panel.set_ylim(bottom=0)
    panels[0].set_title(f"{soaked.name}, seed {soaked.verdict.seed}")
    path = directory / f"soak-{soaked.name}.png"
    figure.savefig(str(path), dpi=110, metadata={"Software": None})
    plt.close(figure)
    return path
