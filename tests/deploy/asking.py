"""Raw requests to gateways, one after the other or at the same time, and the statuses that come back."""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import urlencode, urlsplit

from tests.clients.processes import PATIENCE


def ask(url: str, requests: Sequence[bytes], *, at_once: bool = False) -> list[int]:
    """Send requests one after the other on one connection, or each on its own at the same time; return the statuses."""
    groups = [[each] for each in requests] if at_once else [requests]
    with ExitStack() as stack:
        wires = []
        for group in groups:
            wire = stack.enter_context(socket.create_connection(address(url), PATIENCE))
            wire.sendall(group[0])
            wires.append((wire, group))
        return [status for wire, group in wires for status in _statuses(wire, group)]


def _statuses(wire: socket.socket, requests: Sequence[bytes]) -> Iterator[int]:
    with wire.makefile("rb") as reader:
        for number, request in enumerate(requests):
            if number:
                wire.sendall(request)
            yield int(reader.readline().split()[1])
            headers = dict(line.split(b":", 1) for line in iter(reader.readline, b"\r\n"))
            lengths = [int(value) for name, value in headers.items() if name.lower() == b"content-length"]
            reader.read(*lengths)


def assert_only(wanted: set[int], statuses: Sequence[int]) -> None:
    assert set(statuses) <= wanted, Counter(statuses)


def get(path: str, token: str = "") -> bytes:
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: api.example\r\n{credentials}\r\n".encode()


def post(path: str, **fields: str) -> bytes:
    body = urlencode(fields)
    kind = "application/x-www-form-urlencoded"
    head = f"POST {path} HTTP/1.1\r\nHost: api.example\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


def exchange(refresh_token: str) -> bytes:
    return post("/oauth/token", grant_type="refresh_token", client_id="web", refresh_token=refresh_token)


def log_in(password: str) -> bytes:
    return post("/auth/login", username="alice", password=password, client_id="web")


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
