"""The fault matrix: `python -m tests.matrix` runs the tests of each row and prints what they have measured."""
