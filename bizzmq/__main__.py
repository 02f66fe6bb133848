"""The `bizzmq` command, also as `python -m bizzmq`."""

from bizzmq.interrupts import QuietImports

with QuietImports():
    from bizzmq.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
