"""A module-level connection; one query in thirty is slower than the time limit, and no other may fail."""

import os

import psycopg

FOLDER = os.environ["LIBRARIES_SERVICE"]
connection = psycopg.connect(host=FOLDER, user="postgres", dbname="postgres", autocommit=True)


def handler(body):
    if body % 30 == 0:
        connection.execute("select pg_sleep(30)")
    assert connection.execute("select %s::int", (body,)).fetchone() == (body,)
