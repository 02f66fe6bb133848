"""A channel made and used at import."""

import os

import grpc

channel = grpc.insecure_channel(os.environ["LIBRARIES_SERVICE"])
echo = channel.unary_unary("/test.Echo/Say")
assert echo(b"import", timeout=20, wait_for_ready=True) == b"import"


def handler(body):
    assert echo(str(body).encode(), timeout=20) == str(body).encode()
