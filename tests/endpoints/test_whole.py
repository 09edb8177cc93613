"""Answers that are written in one piece are those that aiohttp writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import pytest
from aiohttp import web

from gateway.endpoints.whole import WholeResponse

HEADERS = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "Server": "gateway"}


@asynccontextmanager
async def served(response: Callable[[], web.Response]) -> AsyncIterator[Callable[[str], "asyncio.Task[bytes]"]]:
    """Serve one kind of answer, and give what sends a request on a connection of its own and reads to the end."""

    async def handle(_: web.BaseRequest) -> web.Response:
        return response()

    server = web.Server(handle)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)

    async def ask(text: str) -> bytes:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(text.encode())
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer

    try:
        yield lambda text: asyncio.ensure_future(ask(text))
    finally:
        listening.close()
        await server.shutdown(1)


def parts(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return line, dict(sorted(field.split(": ", 1) for field in fields)), body


CLOSING = "POST /auth/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
KEEPING = "POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
OLD = "POST /auth/token HTTP/1.0\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("request_text", [CLOSING, OLD, CLOSING.replace("POST", "HEAD")], ids=["1.1", "1.0", "HEAD"])
async def test_it_is_what_aiohttp_writes(request_text: str) -> None:
    answers = []
    for kind in (WholeResponse, web.Response):
        async with served(lambda kind=kind: kind(body=b'{"a": 1}', status=201, headers=HEADERS)) as ask:  # type: ignore[misc]
            line, fields, body = parts(await ask(request_text))
        assert parsedate_to_datetime(fields.pop("Date")).tzinfo is not None
        answers.append((line, fields, body))
    assert answers[0] == answers[1]


async def test_the_connection_serves_the_next_request() -> None:
    async with served(lambda: WholeResponse(body=b"{}", headers=HEADERS)) as ask:
        answer = await ask(KEEPING + KEEPING + CLOSING)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert answer.count(b"Connection: close\r\n") == 1
    assert answer.endswith(b"\r\n\r\n{}")


def changed(change: Callable[[web.Response], object]) -> Callable[[], web.Response]:
    """Return what makes an answer that somebody has changed."""

    def answer() -> web.Response:
        response = WholeResponse(body=b"{}")
        change(response)
        return response

    return answer


async def test_a_connection_that_is_to_be_closed_is_closed() -> None:
    async with served(changed(lambda response: response.force_close())) as ask:
        assert b"\r\nConnection: close\r\n" in await ask(KEEPING)


async def test_headers_that_come_several_times_all_travel() -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    async with served(changed(lambda response: response.headers.extend(cookies))) as ask:
        assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n" in await ask(CLOSING)


async def test_cookies_that_aiohttp_knows_travel_too() -> None:
    async with served(changed(lambda response: response.set_cookie("a", "1"))) as ask:
        assert b"Set-Cookie: a=1" in await ask(CLOSING)


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=2", "a\nb", "a\0b"])
async def test_a_header_never_becomes_two(value: str) -> None:
    async with served(lambda: WholeResponse(body=b"{}", headers={"X-Reason": value})) as ask:
        answer = await ask(CLOSING)
    assert b"200 OK" not in answer
    assert b"b=2" not in answer
