"""Counters in files, as prometheus_client requires for several processes: the sum over all workers is correct."""

import os

FOLDER = os.environ["SURROUNDINGS_OUT"] + ".prometheus"
os.makedirs(FOLDER, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = FOLDER

from prometheus_client import CollectorRegistry, Counter, multiprocess

HANDLED = Counter("handled", "messages")


def handler(body):
    HANDLED.inc()
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        print(int(registry.get_sample_value("handled_total")), file=out)


def check(lines, messages):
    assert max(map(int, lines)) == messages, f"{max(map(int, lines))} of {messages} messages were counted"
