"""The exit codes of the pool. The exit code of a handler never becomes that of the pool."""

DRAINED = 0
CANNOT_PRELOAD = 1
"""Only of --check-preload: workers cannot be forked after the import of the handler."""
USAGE = 2
CANNOT_BOOT = 3
INTERNAL_ERROR = 70
REDIS_AWAY = 75
"""EX_TEMPFAIL of sysexits.h: trying again later may succeed."""
