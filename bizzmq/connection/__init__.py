"""Connections to Redis: URLs, sockets, errors, retries, one server or a group."""
