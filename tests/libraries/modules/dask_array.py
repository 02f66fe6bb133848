import dask
import dask.array as da

NUMBERS = da.arange(100_000, chunks=10_000)
WANTED = int(NUMBERS.sum().compute())


def handler(body):
    assert int((NUMBERS + body).sum().compute()) == WANTED + 100_000 * body
