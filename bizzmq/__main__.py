"""`python -m bizzmq` is the `bizzmq` command."""

from bizzmq.cli import main

if __name__ == "__main__":
    main()
