"""A stand-in for your application: it answers with what the gateway says about the caller.

APP_LISTEN is where it listens: 127.0.0.1:9000, or unix:/run/app/app.sock.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn, UnixStreamServer


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "user": self.headers.get("X-User")}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "gateway"  # a Unix socket has no address to log


class Tcp(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Unix(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


def server(listen: str) -> TCPServer:
    if listen.startswith("unix:"):
        path = Path(listen.removeprefix("unix:"))
        path.unlink(missing_ok=True)
        os.umask(0o007)  # the gateway is in the same group, and nobody else
        return Unix(str(path), Answer)
    host, _, port = listen.rpartition(":")
    return Tcp((host, int(port)), Answer)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server(os.environ["APP_LISTEN"]).serve_forever()
