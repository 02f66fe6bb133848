"""A picture of the Mandelbrot set, rendered tile by tile by a pool of workers.

    python mandelbrot.py --output mandelbrot.png

It starts a private server and a pool, and ends both. To use existing pools instead, on any number of hosts that share
this directory, start them here and pass the URL of their server:

    bizzmq-worker --queue mandelbrot mandelbrot_tile:render
    python mandelbrot.py --redis-url redis://localhost:6379/0
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import click
from mandelbrot_png import write_png

from bizzmq import BizzMQ, QueueOptions

QUEUE = "mandelbrot"
ACROSS, DOWN = 16, 10  # tiles
CENTRE = complex(-0.7435669, 0.1314023)
SPAN = 0.0023  # the width of the picture on the real axis
LIMIT = 1200


def tiles(width: int, height: int, folder: Path) -> list[dict[str, Any]]:
    """The messages: what to compute, and the file for the result."""
    step = SPAN / width
    columns = [round(i * width / ACROSS) for i in range(ACROSS + 1)]
    rows = [round(i * height / DOWN) for i in range(DOWN + 1)]
    return [
        {
            "file": str(folder / f"{top:05d}-{left:05d}"),
            "left": CENTRE.real + (left - width / 2) * step,
            "top": CENTRE.imag - (top - height / 2) * step,
            "width": right - left,
            "height": bottom - top,
            "step": step,
            "limit": LIMIT,
        }
        for top, bottom in zip(rows, rows[1:])
        for left, right in zip(columns, columns[1:])
    ]


@contextmanager
def scratch() -> Iterator[Path]:
    """A context manager: a temporary directory."""
    name = tempfile.mkdtemp(prefix="mandelbrot-")
    try:
        yield Path(name)
    finally:
        while Path(name).exists():  # the server may write into it until it ends
            shutil.rmtree(name, ignore_errors=True)
            time.sleep(0.01)


@contextmanager
def pool(url: str, workers: int | None) -> Iterator[subprocess.Popen[bytes]]:
    """A context manager: a pool, started as a user starts it; it is drained at the end."""
    command = [sys.executable, "-m", "bizzmq.workers", "--log-level=warning", f"--queue={QUEUE}"]
    command += [f"--redis-url={url}", *([f"--concurrency={workers}"] if workers else [])]
    process = subprocess.Popen([*command, "mandelbrot_tile:render"], cwd=str(Path(__file__).resolve().parent))
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def watch(mq: BizzMQ, wanted: int, folder: Path, process: subprocess.Popen[bytes] | None) -> None:
    """Show the progress until every tile exists. Raises ClickException if some are missing."""
    with click.progressbar(length=wanted, label="rendering") as bar:
        while bar.pos < wanted:
            time.sleep(0.05)
            stats = mq.stats(QUEUE)  # before the count: the file of an acked message exists by then
            bar.update(sum(1 for path in folder.iterdir() if not path.name.startswith(".")) - bar.pos)
            if process is not None and process.poll() is not None:
                raise click.ClickException(f"the pool has ended with {process.returncode}")
            if bar.pos < wanted and not stats.waiting + stats.processing + stats.delayed:
                raise click.ClickException(f"tiles are missing; `bizzmq dlq list {QUEUE}` says why")


def assemble(wanted: list[dict[str, Any]], width: int, height: int, output: Path) -> Counter[int]:
    """Put the tiles together; returns the number of tiles that each worker has rendered."""
    done: Counter[int] = Counter()
    rows: list[bytes] = []
    for first in range(0, len(wanted), ACROSS):
        strip = wanted[first : first + ACROSS]
        contents = [Path(tile["file"]).read_bytes().partition(b"\n") for tile in strip]
        done.update(json.loads(about)["worker"] for about, _, _ in contents)
        for y in range(strip[0]["height"]):
            slices = (
                pixels[3 * tile["width"] * y : 3 * tile["width"] * (y + 1)]
                for tile, (_, _, pixels) in zip(strip, contents)
            )
            rows.append(b"".join(slices))
    write_png(output, width, height, rows)
    return done


@click.command()
@click.option("--width", type=click.IntRange(min=ACROSS), default=1280, show_default=True, help="Pixels.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default="mandelbrot.png",
              show_default=True)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.  [default: usable processors]")
@click.option("--redis-url", help="Use the pools on this server instead of a private one.")
def main(width: int, output: Path, workers: int | None, redis_url: str | None) -> None:
    """Render a spiral of the Mandelbrot set to a PNG file."""
    height = max(DOWN, width * 5 // 8)
    begin_s = time.monotonic()
    with scratch() as name:
        folder = name / "tiles"
        folder.mkdir()
        url = redis_url or f"embedded://{name}/server"
        wanted = tiles(width, height, folder)
        with BizzMQ(url) as mq:
            mq.create_queue(QUEUE, QueueOptions(config_dead_letter_queue=True))
            mq.publish_messages_to_queue(QUEUE, wanted)
            click.echo(f"published  {len(wanted)} tiles of {width} x {height} pixels")
            if redis_url:
                watch(mq, len(wanted), folder, None)
            else:
                with pool(url, workers) as process:
                    watch(mq, len(wanted), folder, process)
        done = assemble(wanted, width, height, output)
    shares = " + ".join(str(count) for count in sorted(done.values(), reverse=True))
    click.echo(f"workers    {len(done)}, which have rendered {shares} tiles")
    click.echo(f"picture    {output}, in {time.monotonic() - begin_s:.1f} s")


if __name__ == "__main__":
    main()
