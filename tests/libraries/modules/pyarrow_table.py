import pyarrow as pa
import pyarrow.compute as pc

TABLE = pa.table({"a": list(range(10000))})


def handler(body):
    assert pc.sum(TABLE["a"]).as_py() == sum(range(10000))
