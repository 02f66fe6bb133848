import pandas as pd

FRAME = pd.DataFrame({"a": [1, 2, 1] * 1000, "b": [1, 2, 3] * 1000})
WANTED = FRAME.groupby("a").b.sum().to_dict()


def handler(body):
    assert FRAME.groupby("a").b.sum().to_dict() == WANTED
