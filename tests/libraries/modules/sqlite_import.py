"""A connection to a file, made at import."""

import os
import sqlite3

connection = sqlite3.connect(f"{os.environ['SURROUNDINGS_OUT']}.db", timeout=30, isolation_level=None)
connection.execute("create table if not exists t (i integer)")


def handler(body):
    connection.execute("insert into t values (?)", (body,))
    with open(os.environ["SURROUNDINGS_OUT"], "a") as out:
        print(connection.execute("select i from t where i = ?", (body,)).fetchone()[0], file=out)


def check(lines, messages):
    assert len(set(lines)) == messages, f"{len(set(lines))} of {messages} rows were read back"
