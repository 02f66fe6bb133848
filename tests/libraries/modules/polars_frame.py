import polars as pl

FRAME = pl.DataFrame({"a": [1, 2, 1] * 1000, "b": [1, 2, 3] * 1000})
WANTED = FRAME.group_by("a").agg(pl.col("b").sum()).sort("a").rows()


def handler(body):
    assert FRAME.group_by("a").agg(pl.col("b").sum()).sort("a").rows() == WANTED
