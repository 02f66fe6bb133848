import duckdb

connection = duckdb.connect()
connection.sql("create table t as select range as i from range(100000)")


def handler(body):
    assert connection.sql("select sum(i) from t").fetchall() == [(sum(range(100000)),)]
