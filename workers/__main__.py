"""`python -m bizzmq.workers` is `bizzmq-worker`."""

from bizzmq.workers.cli import main

if __name__ == "__main__":
    main()
