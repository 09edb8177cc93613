"""Whether a contender gives right answers, asked before its speed counts."""

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from bench.contenders import ANSWER, ECHO_PATH, Contender
from bench.material import INJECTED, Material, expected_headers
from bench.processes import BenchError


def check_answers(contender: Contender, port: int, material: Material) -> None:
    """Raise BenchError with the first wrong answer."""
    try:
        for mistake in _mistakes(contender, port, material):
            raise BenchError(f"wrong answer: {mistake}")
    except (OSError, HTTPException) as error:
        raise BenchError(f"no answer: {error!r}") from error


def _mistakes(contender: Contender, port: int, material: Material) -> Iterator[str]:
    status, body = _get(port, "/", material.valid)
    if (status, body) != (200, ANSWER):
        yield f"a valid token got {status} and {len(body)} bytes"
    if contender.checks_tokens:
        yield from _header_mistakes(port, material)
        yield from _refusal_mistakes(port, material)


def _header_mistakes(port: int, material: Material) -> Iterator[str]:
    expected = "|".join(expected_headers(material.valid).values())
    forged = dict.fromkeys(INJECTED, "forged")
    for title, headers in (("", {}), (" beside forged ones", forged)):
        status, seen = _get(port, ECHO_PATH, material.valid, headers)
        if (status, seen) != (200, expected):
            yield f"claim headers{title}: status {status}, the upstream saw {seen[:80]!r}"


def _refusal_mistakes(port: int, material: Material) -> Iterator[str]:
    status, _ = _get(port, "/", None)
    if status != 401:
        yield f"no token got {status}, not 401"
    for title, (token, expected) in material.refused.items():
        status, _ = _get(port, "/", token)
        if status != expected:
            yield f"a token {title} got {status}, not {expected}"


def _get(port: int, path: str, token: str | None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    sent = dict(headers or {})
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
