"""A report each night, and a ping each few seconds: schedules of an app.

bizzmq-worker nightly_report:app          # stores the schedules and fires them
bizzmq schedule list
bizzmq schedule next nightly_report -n 3
bizzmq schedule run nightly_report        # now, besides its times
"""

from __future__ import annotations

import time

from bizzmq import App

app = App()


@app.schedule(cron="0 3 * * *", timezone="Europe/Berlin", missed="last", overlap="skip")
@app.task(name="nightly_report")
def nightly_report(days: int = 1) -> None:
    """The night's report. After downtime it comes once, and never while the last one is being made."""
    print(f"report of {days} day(s), made at {time.strftime('%H:%M:%S')}", flush=True)


@app.task(name="ping")
def ping(region: str) -> None:
    print(f"ping {region}", flush=True)


app.schedule("ping-eu", ping.message("eu"), every_s=2)
app.schedule("ping-us", ping.message("us"), every_s=2, jitter_s=1)
