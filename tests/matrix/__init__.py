"""The fault matrix: `python -m tests.matrix` runs the tests of each row and prints their measurements."""
