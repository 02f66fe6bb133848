"""The `bizzmq-worker` command, also as `python -m bizzmq.workers`."""

from bizzmq.interrupts import QuietImports

with QuietImports():
    from bizzmq.workers.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
