"""FOLDER: a server whose only method returns its argument."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

server = grpc.server(ThreadPoolExecutor(4))
say = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Say": say})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
written = Path(sys.argv[1], "address.new")
written.write_text(f"127.0.0.1:{port}")
written.rename(written.with_suffix(""))
server.wait_for_termination()
