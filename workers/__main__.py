"""The `bizzmq-worker` command as `python -m bizzmq.workers`."""

from bizzmq.utils.interrupts import QuietImports

with QuietImports():
    from bizzmq.workers.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
