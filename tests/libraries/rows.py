"""The rows of the table: libraries, the module that uses them, the expected effect of the default preload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

FORKED, EACH, REFUSED = "forked", "each imports", "refused"


@dataclass(frozen=True)
class Row:
    """One module with its libraries.

    Attributes:
        handler: MODULE of tests/libraries/modules with a function `handler`, or MODULE:CALLABLE.
        packages: the packages that pip installs; the table shows their versions.
        preload: FORKED if workers are forked from one import, EACH if each imports by itself, REFUSED if the pool does
            not start, and says why in one line.
        note: the note for users in the table.
        small: whether an ordinary CI run includes it.
        programs: the Debian packages whose programs it needs (programs.py).
        service: the server that it uses (services).
        cut: whether the server ends all connections between two messages.
        args: further options of the pool.
        failing: messages whose number is a multiple of this fail, and no others; 0: none fails.
        retries: of each message that fails.
    """

    handler: str
    packages: Tuple[str, ...]
    preload: str
    note: str = ""
    small: bool = False
    programs: Tuple[str, ...] = ()
    service: str = ""
    cut: bool = False
    args: Tuple[str, ...] = ()
    failing: int = 0
    retries: int = 0

    @property
    def module(self) -> str:
        return self.handler.partition(":")[0]

    @property
    def spec(self) -> str:
        return self.handler if ":" in self.handler else f"{self.handler}:handler"


NUMBERS = (
    Row("numpy_blas", ("numpy",), FORKED, "OpenBLAS ends its threads before a fork", small=True),
    Row("numpy_rng", ("numpy",), EACH, "a generator object of the module", small=True),
    Row("scipy_linalg", ("scipy", "numpy"), FORKED),
    Row("sklearn_model", ("scikit-learn", "numpy"), FORKED, "a model that is fitted at import, one thread a worker"),
    Row("polars_frame", ("polars",), EACH, "its thread pool is started by the import"),
    Row("pandas_frame", ("pandas", "numpy"), FORKED),
    Row("pyarrow_table", ("pyarrow",), FORKED),
    Row("numba_parallel", ("numba", "numpy"), EACH, "OpenMP used at import, and a lock"),
    Row("lightgbm_model", ("lightgbm", "scikit-learn", "numpy"), EACH, "its threads, whatever OMP_NUM_THREADS says"),
    Row("xgboost_model", ("xgboost", "scikit-learn", "numpy"), FORKED, "one thread a worker"),
    Row("torch_model", ("torch",), FORKED, "a model that is warmed up at import, one thread a worker"),
    Row("jax_jit", ("jax",), EACH, "its threads are started by its first use"),
    Row(
        "onnx_session", ("onnxruntime", "onnx", "numpy"), EACH, "its import starts threads and opens a file of its own"
    ),
    Row("numexpr_eval", ("numexpr", "numpy"), FORKED, "one thread a worker"),
    Row("joblib_import", ("joblib",), EACH, "child processes and pipes since the import"),
    Row("tokenizers_bpe", ("tokenizers",), EACH, "`encode_batch` at import starts threads"),
    Row("nltk_stem", ("nltk",), FORKED),
    Row("faiss_index", ("faiss-cpu", "numpy"), EACH, "OpenMP used at import"),
    Row("dask_array", ("dask", "numpy"), EACH, "its threads are started by its first use"),
)
IMAGES = (
    Row("opencv_image", ("opencv-python-headless", "numpy"), EACH, "its threads are started by its first use"),
    Row("pillow_image", ("pillow",), FORKED),
    Row("matplotlib_agg", ("matplotlib",), FORKED),
    Row("pymupdf_page", ("pymupdf",), EACH, "it imports onnxruntime, which has threads and a file of its own"),
    Row("reportlab_pdf", ("reportlab",), FORKED),
    Row("lxml_tree", ("lxml",), FORKED),
    Row("html_report", ("jinja2", "beautifulsoup4"), FORKED),
)
FILES = (
    Row("sqlalchemy_file", ("sqlalchemy",), EACH, "a connection to a file; make it in on_worker_boot"),
    Row("sqlite_import", (), EACH, "a connection to a file; make it in on_worker_boot", small=True),
    Row("duckdb_memory", ("duckdb",), EACH, "a connection has threads"),
    Row("django_orm", ("django", "psycopg[binary]"), EACH, "connections end between messages: "
        "`before_message(close_old_connections)` and CONN_HEALTH_CHECKS",
        programs=("postgresql",), service="postgresql", cut=True),
    Row("psycopg_limit", ("psycopg[binary]",), EACH, "a query beyond the time limit: no other message fails",
        programs=("postgresql",), service="postgresql", args=("--timeout=1",), failing=30),
    Row("asyncpg_pool", ("asyncpg",), FORKED, "the pool is made in on_worker_boot",
        programs=("postgresql",), service="postgresql"),
    Row("redis_client", ("redis",), EACH, "a connection since the import", small=True),
    Row("lmdb_env", ("lmdb",), EACH, "an environment that is opened at import", small=True),
    Row("diskcache_cache", ("diskcache",), EACH, "a cache that is opened at import"),
    Row("h5py_file", ("h5py", "numpy"), EACH, "a file with a position"),
    Row("zip_reader", (), EACH, "a file with a position", small=True),
    Row("zstd_context", ("zstandard",), EACH, "threads of a context that was used at import", small=True),
)  # fmt: skip
NETWORK = (
    Row("requests_session", ("requests",), EACH, "a connection since the import", service="http_server", small=True),
    Row("httpx_client", ("httpx",), FORKED),
    Row("aiohttp_session", ("aiohttp",), FORKED, "the session is made in on_worker_boot", service="http_server"),
    Row("async_reader", (), FORKED, "a task of on_worker_boot reads for all messages", small=True),
    Row("uvloop_policy", ("uvloop",), FORKED),
    Row("grpc_channel", ("grpcio",), EACH, "a channel has threads", service="grpc_server"),
    Row("boto3_client", ("boto3",), FORKED),
    Row("kafka_producer", ("confluent-kafka",), EACH, "a producer has threads"),
    Row("zmq_context", ("pyzmq",), EACH, "a context has threads"),
    Row("fsspec_http", ("fsspec", "aiohttp"), EACH, "an event loop in a thread", service="http_server"),
    Row("celery_publisher", ("celery[redis]",), EACH, "a connection since the import"),
    Row("crypto_keys", ("cryptography",), FORKED),
)
TELEMETRY = (
    Row("sentry_events", ("sentry-sdk",), FORKED, "all events are sent when a worker leaves", small=True),
    Row("otel_spans", ("opentelemetry-sdk",), FORKED, "all spans are exported when a worker leaves"),
    Row("prometheus_files", ("prometheus-client",), EACH, "files that are mapped for writing", small=True),
    Row("ddtrace_spans", ("ddtrace",), EACH, "its import starts threads"),
    Row("structlog_lines", ("structlog",), FORKED),
    Row("loguru_lines", ("loguru",), FORKED),
    Row("logging_listener", (), EACH, "a thread since the import; all records are written", small=True),
)
PROCESSES = (
    Row("ffmpeg_limit", (), FORKED, "after a time limit no program is left, and never are there two",
        programs=("ffmpeg",), args=("--timeout=1",), failing=30, retries=1),
    Row("playwright_page", ("playwright",), FORKED, "a browser for each worker, of on_worker_boot",
        programs=("chromium",)),
    Row("process_pool", (), FORKED, small=True),
    Row("mp_pool", (), FORKED),
    Row("helper_process", (), EACH, "a program since the import; none is left at the end", small=True),
    Row("pebble_pool", ("pebble",), FORKED, "a pool of processes since the first message"),
    Row("sh_command", ("sh",), FORKED),
    Row("pexpect_child", ("pexpect",), FORKED),
    Row("git_repository", ("gitpython",), EACH, "git's processes are started at import", programs=("git",)),
    Row("pyximport_fib", ("cython", "setuptools"), FORKED, "is compiled once", programs=("gcc",)),
)  # fmt: skip
CONCURRENCY = (
    Row("eventlet_patch", ("eventlet",), EACH, "`monkey_patch()` at import"),
    Row("gevent_patch", ("gevent",), EACH, "`monkey.patch_all()` at import"),
    Row("watchdog_observer", ("watchdog",), EACH, "a thread and an inotify since the import", small=True),
    Row("apscheduler_jobs", ("apscheduler",), EACH, "a thread since the import"),
    Row("trio_run", ("trio",), FORKED, small=True),
    Row("crochet_reactor", ("crochet",), EACH, "a reactor in a thread since the import"),
    Row("pyinstrument_profile", ("pyinstrument",), FORKED),
    Row("legacy_script", (), FORKED, "global state, files that are appended to, signals", small=True),
)
SHAPES = tuple(
    Row(
        f"shapes:{shape}",
        ("click", "wrapt", "pydantic"),
        preload,
        note,
        small=shape in {"bound", "validated", "generated"},
    )
    for shape, preload, note in (
        ("partial", FORKED, "`functools.partial`"),
        ("bound", FORKED, "a bound method"),
        ("bound_async", FORKED, "a bound coroutine method"),
        ("instance", FORKED, "an object with `__call__`"),
        ("of_class", FORKED, "a class method"),
        ("static", FORKED, "a static method"),
        ("wrapped", FORKED, "`wrapt.decorator`"),
        ("validated", FORKED, "pydantic's `validate_call`"),
        ("dispatched", FORKED, "`functools.singledispatch`"),
        ("cached", REFUSED, "`functools.lru_cache`: equal messages would run once"),
        ("command", REFUSED, "a command of click: it takes the words of a command line"),
        ("generated", REFUSED, "a generator function: a call runs nothing of it"),
        ("Shop", REFUSED, "a class: a call makes an object and runs nothing"),
    )
)
KINDS: Mapping[str, Tuple[Row, ...]] = {
    "Numbers, models, text": NUMBERS,
    "Images and documents": IMAGES,
    "Databases and files": FILES,
    "Network": NETWORK,
    "Telemetry and logs": TELEMETRY,
    "Programs and processes": PROCESSES,
    "Threads and event loops": CONCURRENCY,
    "Shapes of handlers": SHAPES,
}
ROWS = tuple(row for rows in KINDS.values() for row in rows)
