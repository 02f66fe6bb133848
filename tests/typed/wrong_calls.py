"""Calls that are wrong. mypy and pyright report each line that is marked, and no other."""

from __future__ import annotations

from datetime import date

from bizzmq import App, Context

app = App()


@app.task
def thumbnail(path: str, width: int = 200) -> str:
    return f"{path}.{width}"


@app.task(queue="reports")
def report(context: Context, month: date) -> int:
    return context.delivery


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


thumbnail(3)  # wrong: the type of an argument
thumbnail.publish(3)  # wrong: the same when publishing
thumbnail.publish()  # wrong: an argument is missing
thumbnail.publish("a.png", height=3)  # wrong: a name that the function does not have
thumbnail.publish("a.png", 3, 4)  # wrong: one argument too many
thumbnail.using(priority=1).publish(b"a.png")  # wrong: also with other options
thumbnail.using(prioritty=1)  # wrong: a misspelt option
thumbnail.message("a.png", width="3")  # wrong: a message that is not published yet
report(date(2026, 1, 1))  # wrong: a plain call passes the context
report.publish("2026-01-01")  # wrong: the context is not an argument, the month is a date
report.publish(date(2026, 1, 1), date(2026, 1, 1))  # wrong: publishing passes no context
fetch.publish(3)  # wrong: async tasks are checked, too
fetch.apublish(3)  # wrong: the same for asyncio
total: int = fetch("https://example.org")  # wrong: an async task is awaited
app.task(max_retries="3")  # wrong: the type of an option
app.task(retries=3)  # wrong: an option that does not exist
app.queue("images", {"max_retries": 3})  # wrong: options are QueueOptions
number: int = thumbnail.publish("a.png").result()  # wrong: the type of a result
app.schedule("s", thumbnail.message("a.png"), every_s="60")  # wrong: an interval is a number or a timedelta
app.schedule("s", thumbnail, every_s=60)  # wrong: a message, not a task
app.schedule(every_s=60, crom="")  # wrong: an option that does not exist
