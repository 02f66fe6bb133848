"""The picture of bench/memory.py. Needs matplotlib: the extra `bench`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Mapping, Sequence

import click


def require_library() -> None:
    """Raise ClickException without matplotlib: before the measurement, not after it."""
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise click.ClickException("a plot needs the package matplotlib: pip install matplotlib") from None


def draw(pools: Mapping[str, Sequence[tuple[int, float]]], title: str, directory: Path) -> list[Path]:
    """Write memory.png and memory.svg: workers against megabytes of the whole pool, a line for each kind of pool."""
    mpl: Any = importlib.import_module("matplotlib")
    mpl.use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")
    mpl.rcParams["svg.hashsalt"] = "bizzmq"  # the same figures make the same file
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for (name, points), colour, marker in zip(pools.items(), ("#0072B2", "#56B4E9", "#009E73", "#D55E00"), "o^vs"):
        workers, megabytes = zip(*points)
        axes.plot(workers, megabytes, color=colour, marker=marker, label=name)
        axes.annotate(f"{megabytes[-1]:,.0f} MB", (workers[-1], megabytes[-1]), textcoords="offset points",
                      xytext=(9, -4), color=colour)  # fmt: skip
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("workers")
    axes.set_ylabel("memory of the pool (PSS), MB")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.12)  # room for the last labels
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / "memory.png", directory / "memory.svg"]
    figure.savefig(str(paths[0]), dpi=150, metadata={"Software": None})
    figure.savefig(str(paths[1]), metadata={"Date": None})
    plt.close(figure)
    return paths
