"""Handlers that use real libraries, under a pool: the table in docs/operations/libraries.md."""
