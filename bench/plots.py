"""The pictures of a comparison, each as PNG and SVG. Needs matplotlib: the extra `bench`."""

from __future__ import annotations

import importlib
import statistics
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

from bench import memory_plot
from bench.fair import stats
from bench.measures import workers as workers_measure
from bench.peers.peer import AT_LEAST_ONCE, OWN

OURS, AT_LEAST, AT_MOST = "#D55E00", "#0072B2", "#999999"
COLOURS = 10
"""The number of lines after which matplotlib starts again with the first colour."""
SHARES = [number / 1000 for number in range(1, 1000, 2)]


def draw_all(measures: Mapping[str, Any], folder: Path) -> Iterator[Path]:
    """Draw the pictures of the measurements that are available."""
    folder.mkdir(parents=True, exist_ok=True)
    drawers: Mapping[str, Sequence[tuple[str, Callable[[Any, Any], None]]]] = {
        "arms": [("throughput", throughput), ("latency", latency)],
        "workers": [("workers", workers)],
        "recovery": [("recovery", recovery)],
        "depth": [("depth", depth)],
    }
    for name, pictures in drawers.items():
        if name in measures:
            for title, drawer in pictures:
                yield from save(title, folder, measures[name], drawer)
    if measures.get("memory"):
        yield from memory(measures["memory"], folder)


def save(name: str, folder: Path, result: Any, drawer: Callable[[Any, Any], None]) -> list[Path]:
    """Save one picture in both formats; equal figures make equal files."""
    mpl: Any = importlib.import_module("matplotlib")
    mpl.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    mpl.rcParams["svg.hashsalt"] = "bizzmq"
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    drawer(axes, result)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    figure.savefig(str(paths[0]), dpi=150, metadata={"Software": None})
    figure.savefig(str(paths[1]), metadata={"Date": None})
    plt.close(figure)
    return paths


def colour(of: Mapping[str, Any]) -> str:
    """The colour of an arm, by its guarantee."""
    if of["language"] == OWN:
        return OURS
    return AT_LEAST if of["guarantee"] == AT_LEAST_ONCE else AT_MOST


def throughput(axes: Any, result: Mapping[str, Any]) -> None:
    """Bars with intervals, the fastest on top."""
    found = {name: stats.of([one["drain"]["per_s"] for one in of["rounds"]]) for name, of in result["arms"].items()}
    names = sorted(found, key=lambda name: found[name].value)
    values = [found[name].value for name in names]
    errors = [[found[name].value - found[name].low for name in names],
              [found[name].high - found[name].value for name in names]]  # fmt: skip
    labels = [f"{name} ({result['arms'][name]['guarantee']})" for name in names]
    axes.barh(labels, values, xerr=errors, color=[colour(result["arms"][name]) for name in names], ecolor="black")
    for row, value in enumerate(values):
        axes.annotate(f" {value:,.0f}", (found[names[row]].high, row), va="center", fontsize=8)
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("no-op messages a second, 2 workers, log scale; lines: 95% interval")


def latency(axes: Any, result: Mapping[str, Any]) -> None:
    """Waiting times at the highest load by percentile, of all timed arms."""
    load = list(result["loads_per_s"])[-1]
    for number, (name, of) in enumerate(result["arms"].items()):
        waits = sorted(1e3 * wait for one in of["rounds"] for wait in one.get("load_s", {}).get(load, []))
        if waits:
            line = [stats.percentile(waits, share) for share in SHARES]
            ours = of["language"] == OWN
            axes.plot([100 * share for share in SHARES], line, "-" if number < COLOURS else "--", label=name,
                      lw=3 if ours else 1.2, color=OURS if ours else None)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel(f"percentile of messages, at {load} load ({result['loads_per_s'][load]:.0f}/s of 4 ms each)")
    axes.set_ylabel("publish to handler start, ms, log scale")
    axes.legend(frameon=False, fontsize=8, ncols=2)


def workers(axes: Any, result: Mapping[str, Any]) -> None:
    """Lines by the number of workers."""
    for name, by_size in result["per_s"].items():
        ours, dashes = name in (workers_measure.OWN, workers_measure.ONE), "--" if name == workers_measure.ONE else "-"
        sizes, rates = [int(size) for size in by_size], [statistics.median(rates) for rates in by_size.values()]
        axes.plot(sizes, rates, dashes, marker="o", label=name, color=OURS if ours else None, lw=3 if ours else 1.2)
    axes.set_xticks(sorted({int(size) for by_size in result["per_s"].values() for size in by_size}))
    axes.set_yscale("log")
    axes.set_xlabel("worker processes")
    axes.set_ylabel("no-op messages a second, log scale")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def recovery(axes: Any, result: Mapping[str, Any]) -> None:
    """Every kill, sorted."""
    times = sorted(result["all_ms"])
    axes.plot([100 * (number + 1) / len(times) for number in range(len(times))], times, color=OURS, marker=".")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"percentile of {len(times)} kills")
    axes.set_ylabel("from SIGKILL until the message runs again, ms")


def depth(axes: Any, result: Mapping[str, Any]) -> None:
    """Bars: a shallow queue, a deep queue, and with empty queues."""
    named = {
        "shallow": "1,000 waiting",
        "deep": f"{result['depth']:,} waiting",
        "beside empty": f"{result['empty']:,} empty\nqueues beside it",
        "serving empty": f"serving {result['served']}\nempty queues, too",
    }
    found = {name: stats.of(result["rates"][name]) for name in named}
    errors = [[of.value - of.low for of in found.values()], [of.high - of.value for of in found.values()]]
    axes.bar(list(named.values()), [of.value for of in found.values()], yerr=errors, color=AT_LEAST)
    axes.set_ylabel("messages a second, 2 workers")


def memory(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """The picture that `memory --plots` draws."""
    points = {kind: [(size["workers"], size["pool_mb"]) for size in sizes] for kind, sizes in result["pools"].items()}
    messages = result["settings"]["messages"]
    return memory_plot.draw(points, f"A module of 200 MB, {messages:,} messages a worker", folder)
