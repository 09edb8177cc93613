"""Whether a contender gives right answers, asked before its speed counts."""

import ssl
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

from bench.answers import ANSWER, ECHO_PATH
from bench.contenders import Contender
from bench.material import INJECTED, Material, expected_headers
from bench.processes import BenchError
from bench.scene import Ports
from bench.works import Work

_PATIENCE: Final = 120.0
_ASKED: Final = 8
"""Connections that must find a contender ready: one of several processes may be late."""
_TIMEOUT: Final = 30.0
_UNVERIFIED: Final = ssl._create_unverified_context()


def await_ready(ports: Ports, material: Material) -> None:
    """Wait as long as an answer is 503: until every process of a contender knows all revocations."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if all(_ask(ports, "/orders/000000", material.valid)[0] != 503 for _ in range(_ASKED)):
            return
        time.sleep(0.1)
    raise BenchError(f"was not ready within {_PATIENCE:.0f} s")


def check_answers(contender: Contender, ports: Ports, material: Material) -> None:
    """Raise BenchError with the first wrong answer."""
    try:
        await_ready(ports, material)
        for mistake in _mistakes(contender, ports, material):
            raise BenchError(f"wrong answer: {mistake}")
    except (OSError, HTTPException) as error:
        raise BenchError(f"no answer: {error!r}") from error


def check_work(work: Work, ports: Ports, material: Material) -> None:
    """Raise BenchError if the answer to a work is not the right one."""
    if work.is_websocket:
        return  # every message that comes back is looked at
    token = getattr(material, work.tokens).read_text().partition("\n")[0]
    path = f"{work.path.format(0)}/000000"
    try:
        status, body = _ask(ports, path, token, body=b"x" * work.body, is_tls=work.is_tls)
    except (OSError, HTTPException) as error:
        raise BenchError(f"no answer: {error!r}") from error
    if status != work.status or (work.answer and body != "x" * work.answer):
        raise BenchError(f"wrong answer: {path} got {status} and {len(body)} bytes")


def _mistakes(contender: Contender, ports: Ports, material: Material) -> Iterator[str]:
    status, body = _ask(ports, "/orders/000000", material.valid)
    if (status, body) != (200, ANSWER):
        yield f"a valid token got {status} and {len(body)} bytes"
    if contender.checks_tokens:
        yield from _header_mistakes(ports, material)
        yield from _refusal_mistakes(ports, material)
    if contender.setup is not None and contender.setup.revocations:
        status, _ = _ask(ports, "/", material.revoked)
        if status != 401:
            yield f"a revoked token got {status}, not 401"


def _header_mistakes(ports: Ports, material: Material) -> Iterator[str]:
    expected = "|".join(expected_headers(material.valid).values())
    forged = dict.fromkeys(INJECTED, "forged")
    for title, headers in (("", {}), (" beside forged ones", forged)):
        status, seen = _ask(ports, ECHO_PATH, material.valid, headers)
        if (status, seen) != (200, expected):
            yield f"claim headers{title}: status {status}, the upstream saw {seen[:80]!r}"


def _refusal_mistakes(ports: Ports, material: Material) -> Iterator[str]:
    status, _ = _ask(ports, "/", None)
    if status != 401:
        yield f"no token got {status}, not 401"
    for title, (token, expected) in material.refused.items():
        status, _ = _ask(ports, "/", token)
        if status not in expected:
            yield f"a token {title} got {status}, not {expected[0]}"


def _ask(
    ports: Ports,
    path: str,
    token: str | None,
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    *,
    is_tls: bool = False,
) -> tuple[int, str]:
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    connection = (
        HTTPSConnection("127.0.0.1", ports.tls, timeout=_TIMEOUT, context=_UNVERIFIED)
        if is_tls
        else HTTPConnection("127.0.0.1", ports.http, timeout=_TIMEOUT)
    )
    try:
        connection.request("POST" if body else "GET", path, body or None, sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
