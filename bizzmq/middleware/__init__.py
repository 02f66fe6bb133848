"""Middleware: code around publishing, around each message, and in the life of a worker."""
