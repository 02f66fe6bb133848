"""The exit codes of the pool. A handler's own exit code never becomes one of them."""

DRAINED = 0
EACH_IMPORTS = 1
"""Of --check-preload alone: the handler's import does not bear a fork."""
USAGE = 2
CANNOT_BOOT = 3
INTERNAL_ERROR = 70
REDIS_AWAY = 75
"""EX_TEMPFAIL of sysexits.h: a later try may work."""
