"""Helpers that several test packages share: servers, processes, file systems, clocks, handlers."""
