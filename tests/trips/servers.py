"""Servers and clients that nobody here wrote, and the gateway itself, as processes of their own."""

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.minting import jwks
from tests.ports import free_port
from tests.trips.running import KEY, config

START = 20.0
"""Seconds for a process to start listening."""

_HTTPBIN = """
import sys
from httpbin import app
from werkzeug.serving import WSGIRequestHandler, make_server
WSGIRequestHandler.protocol_version = "HTTP/1.1"
make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True).serve_forever()
"""

_NGINX = """
daemon off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log; {user}
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain; underscores_in_headers on; ignore_invalid_headers off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    {server}
  }}
}}
"""


def required(program: str) -> str:
    """Return the path of a program. Skips the test if it is not installed, but never in CI."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


@contextmanager
def httpbin_running(directory: Path) -> Iterator[str]:
    """Run httpbin; yield its URL."""
    port = free_port()
    with _process([sys.executable, "-W", "ignore", "-c", _HTTPBIN, str(port)], directory / "httpbin.log", port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def nginx_running(directory: Path, server: str) -> Iterator[str]:
    """Run nginx as whoever runs the tests, with directives for its one server; yield its URL."""
    port = free_port()
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    file = directory / "nginx.conf"
    file.write_text(_NGINX.format(directory=directory, port=port, user=user, server=server))
    command = [required("nginx"), "-p", str(directory), "-c", str(file), "-e", str(directory / "error.log")]
    with _process(command, directory / "nginx.log", port):
        yield f"http://127.0.0.1:{port}"


class GatewayProcess:
    """`gateway serve` as a process."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    def memory(self, what: str) -> int:
        """Return VmRSS or VmHWM (the peak) in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) // 1024
        raise LookupError(what)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def gateway_process(directory: Path, text: str, *targets: str) -> Iterator[GatewayProcess]:
    """Run a gateway with `config(text, *targets)`, the key `KEY` and the real time, until it has drained."""
    port = free_port()
    file = directory / "gateway.yaml"
    settings = {**config(text, *targets), "listen": [{"address": f"127.0.0.1:{port}"}]}
    file.write_text(yaml.safe_dump(settings))
    (directory / "keys.json").write_bytes(jwks(KEY))
    log = directory / "gateway.log"
    with _process([sys.executable, "-m", "gateway", "serve", str(file)], log, port) as process:
        yield GatewayProcess(process, port, log)


@contextmanager
def _process(command: list[str], log: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        _await_port(process, port, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_port(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{process.args!r} does not listen: {log.read_text()}")


async def curl(*arguments: str) -> str:
    """Return what curl prints. Raises RuntimeError if it fails."""
    process = await asyncio.create_subprocess_exec(
        required("curl"), "-sS", "--max-time", "10", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"curl: {process.returncode} {errors.decode()}")
    return output.decode("latin-1")
