"""A scheduler started at import: a job of a message has to run in its worker."""

import queue

from apscheduler.schedulers.background import BackgroundScheduler

done = queue.Queue()
scheduler = BackgroundScheduler()
scheduler.start()


def handler(body):
    scheduler.add_job(done.put, args=(body,))
    while done.get(timeout=20) != body:
        pass
