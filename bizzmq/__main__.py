"""The `bizzmq` command, also as `python -m bizzmq`."""

from bizzmq.utils.interrupts import QuietImports

with QuietImports():
    from bizzmq.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
