"""A file opened at import and read in each message."""

import os

import h5py
import numpy as np

PATH = f"{os.environ['SURROUNDINGS_OUT']}.{os.getpid()}.h5"
with h5py.File(PATH, "w") as made:
    for number in range(20):
        made[str(number)] = np.full(10_000, number)
data = h5py.File(PATH)


def handler(body):
    assert (data[str(body % 20)][:] == body % 20).all()
