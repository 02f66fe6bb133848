"""Log records go through a queue to a writer thread started at import: all must be written."""

import atexit
import logging
import logging.handlers
import os
import queue

records = queue.Queue()
to_file = logging.FileHandler(os.environ["SURROUNDINGS_OUT"], delay=True)
listener = logging.handlers.QueueListener(records, to_file)
listener.start()
atexit.register(listener.stop)
logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
logger.addHandler(logging.handlers.QueueHandler(records))
logger.propagate = False


def handler(body):
    logger.info("handled %s", body)


def check(lines, messages):
    assert len(lines) == messages, f"{len(lines)} of {messages} records"
