"""Each message is an event; all must arrive, the last ones when their worker exits."""

import os
import time

import sentry_sdk
from sentry_sdk.transport import Transport
from sentry_sdk.worker import BackgroundWorker


class Slow(Transport):
    """A transport that keeps events in its thread's queue for a while, like one over a network."""

    def __init__(self, options):
        super().__init__(options)
        self.worker = BackgroundWorker(queue_size=1000)

    def capture_envelope(self, envelope):
        def send():
            time.sleep(0.01)
            if envelope.get_event() is not None:
                with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
                    print("event", file=out)

        self.worker.submit(send)

    def flush(self, timeout, callback=None):
        self.worker.flush(timeout, callback)

    def kill(self):
        self.worker.kill()


sentry_sdk.init(dsn="http://key@localhost/1", transport=Slow, auto_session_tracking=False, shutdown_timeout=10)


def handler(body):
    sentry_sdk.capture_message(f"message {body}")


def check(lines, messages):
    assert len(lines) == messages, f"{len(lines)} of {messages} events"
