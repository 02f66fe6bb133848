"""One report for each month, however often it is asked for; and one search index update, after the last keystroke.

Start a pool, then publish:

    bizzmq-worker dedupe:app
    python dedupe.py
"""

from __future__ import annotations

from bizzmq import App

app = App()


@app.task(unique_key=lambda arguments: f"report {arguments['month']}", result_ttl_s=60)
def report(month: str) -> str:
    """Unique until it has finished: all who ask meanwhile get the same handle."""
    return f"the report of {month}"


@app.task(unique_key=lambda arguments: arguments["document"], on_duplicate="replace", result_ttl_s=60)
def index(document: str, text: str) -> str:
    """The last text wins, a second after the last change: a debounce."""
    return f"{document}: {text}"


@app.task(unique_key="newsletter", unique_for_s=3600)
def newsletter() -> None:
    """At most once an hour, whatever becomes of it: a throttle."""


def main() -> None:
    reports = [report.publish("2026-01") for _ in range(3)]
    print([handle.duplicate for handle in reports], len({handle.id for handle in reports}), "message")
    changes = [index.using(delay_s=1).publish("doc-1", text) for text in ("h", "he", "hello")]
    print([newsletter.publish().duplicate for _ in range(2)])
    print(reports[-1].result(30))
    print(changes[0].result(30))


if __name__ == "__main__":
    main()
