"""FOLDER: a server that answers each request with its path and keeps connections open."""

import http.server
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
written = Path(sys.argv[1], "address.new")
written.write_text(f"http://127.0.0.1:{server.server_port}")
written.rename(written.with_suffix(""))
server.serve_forever()
