import atexit
import logging
import os
import signal
import tempfile

logging.basicConfig(filename=os.environ["SURROUNDINGS_OUT"] + ".log", level=logging.INFO)
scratch = tempfile.mkdtemp()
rows = open(os.environ["SURROUNDINGS_OUT"], "a")
state = {"count": 0}
signal.signal(signal.SIGUSR2, lambda *_: None)
atexit.register(lambda: os.path.isdir(scratch) and os.rmdir(scratch))


def handler(body):
    state["count"] += 1
    rows.write(f"row {body}\n")
    logging.info("handled %s", body)


def check(lines, messages):
    assert len(lines) == messages, f"{len(lines)} of {messages} rows were flushed"
