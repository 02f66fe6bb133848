"""The table: which library, which module, what is expected of the default preload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

FORKED, EACH = "forked", "each imports"


@dataclass(frozen=True)
class Row:
    """One module with its libraries.

    Attributes:
        module: its name in tests/surroundings/modules.
        packages: what pip installs; the first one's version stands in the table.
        preload: FORKED if workers are forked from one import, EACH if each imports by itself.
        note: what a user has to know, for the table.
        small: an ordinary run of CI has it, too.
    """

    module: str
    packages: Tuple[str, ...]
    preload: str
    note: str = ""
    small: bool = False


ROWS = (
    Row("numpy_blas", ("numpy",), FORKED, "OpenBLAS ends its threads before a fork", small=True),
    Row("numpy_rng", ("numpy",), EACH, "a generator object of the module", small=True),
    Row("scipy_linalg", ("scipy", "numpy"), FORKED),
    Row("sklearn_model", ("scikit-learn", "numpy"), FORKED, "a model that is fitted at import, one thread a worker"),
    Row("polars_frame", ("polars",), EACH, "its thread pool is started by the import"),
    Row("pandas_frame", ("pandas", "numpy"), FORKED),
    Row("pyarrow_table", ("pyarrow",), FORKED),
    Row("duckdb_memory", ("duckdb",), EACH, "a connection has threads"),
    Row("numba_parallel", ("numba", "numpy"), EACH, "OpenMP used at import, and a lock"),
    Row("lightgbm_model", ("lightgbm", "scikit-learn", "numpy"), EACH, "its threads, whatever OMP_NUM_THREADS says"),
    Row("xgboost_model", ("xgboost", "scikit-learn", "numpy"), FORKED, "one thread a worker"),
    Row("opencv_image", ("opencv-python-headless", "numpy"), EACH, "its threads are started by its first use"),
    Row("pillow_image", ("pillow",), FORKED, small=True),
    Row("lxml_tree", ("lxml",), FORKED, small=True),
    Row("sqlalchemy_file", ("sqlalchemy",), EACH, "a connection to a file; make it in on_worker_boot", small=True),
    Row("requests_session", ("requests",), FORKED, "a session without a connection", small=True),
    Row("httpx_client", ("httpx",), FORKED, small=True),
    Row("sentry_events", ("sentry-sdk",), FORKED, "all events are sent when a worker leaves", small=True),
    Row("otel_spans", ("opentelemetry-sdk",), FORKED, "all spans are exported when a worker leaves"),
    Row("structlog_lines", ("structlog",), FORKED),
    Row("loguru_lines", ("loguru",), FORKED),
    Row("zip_reader", (), EACH, "a file with a position", small=True),
    Row("legacy_script", (), FORKED, "global state, files that are appended to, signals", small=True),
)
