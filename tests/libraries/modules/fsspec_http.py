"""A file system with an event loop in a thread started at import."""

import os

import fsspec

files = fsspec.filesystem("http")
URL = os.environ["LIBRARIES_SERVICE"]
assert files.cat(f"{URL}/import") == b"/import"


def handler(body):
    assert files.cat(f"{URL}/{body}") == f"/{body}".encode()
