"""A handler that publishes to Celery over a connection opened at import."""

import os

import celery

app = celery.Celery(broker=os.environ["SURROUNDINGS_REDIS"])
app.send_task("imported", queue="celery-import")
count = app.connection_for_write().channel().client.llen


def handler(body):
    app.send_task("work", args=[body], queue=f"celery-{body}")
    assert count(f"celery-{body}") == 1
