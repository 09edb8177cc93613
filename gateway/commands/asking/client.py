"""A client of the admin API that says in words why there is no answer."""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from gateway.commands.asking.door import Door
from gateway.config.mistakes import printable

PREFIX = "/admin/api/v1"
_SECONDS = 10.0
_MOST = 32 * 1024 * 1024
"""Bytes of an answer that are read: thousands of routes are fewer."""
_LONGEST_WAIT = 60.0


class NoAnswer(Exception):
    """The gateway did not answer, or does not know. To ask again later may help: not before `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotLetIn(Exception):
    """The gateway refused, and will again. The message says what to do."""


class NotThere(NotLetIn):
    """There is no such thing."""


class AdminClient:
    """Asks one gateway. Use it as a context manager."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._headers = {"Accept": "application/json"}
        if door.token is not None:
            self._headers["Authorization"] = f"Bearer {door.token}"

    async def __aenter__(self) -> Self:
        connector = _connector(self._door)
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        self._http = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.close()

    async def ask(self, path: str, method: str = "GET", parameters: Mapping[str, str] | None = None) -> Any:
        """Return what the API answers at a path, which is percent-encoded; None for an answer without a body.

        Raises NoAnswer, NotLetIn or NotThere.
        """
        url = URL(f"{self._door.url}{PREFIX}{path}", encoded=True).with_query(parameters)
        try:
            async with self._http.request(method, url, allow_redirects=False) as response:
                body = await self._body(response)
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise NoAnswer(f"no answer from {self._door.place}: {_in_words(error)}") from error
        if response.status == 204:
            return None
        answer = _object(body)
        if response.status >= 500:
            raise self._refusal(response.status, answer or {}, response.headers)
        if answer is None:
            raise NotLetIn(f"what answers at {self._door.place} is not the admin API of a gateway")
        if response.status >= 300:
            raise self._refusal(response.status, answer, response.headers)
        return answer

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > _MOST:
                raise NotLetIn(f"what answers at {self._door.place} says too much for the admin API of a gateway")
        return bytes(body)

    def _refusal(self, status: int, answer: Mapping[str, Any], headers: Mapping[str, str]) -> Exception:
        words = (str(answer[name]) for name in ("error", "error_description") if name in answer)
        said = printable(" ".join((str(status), *words)))
        if status in (408, 429) or status >= 500:
            return NoAnswer(f"{self._door.place} cannot answer now: {said}", _seconds(headers.get("Retry-After", "")))
        if status == 404:
            return NotThere(f"{self._door.place} has no such thing: {said}")
        return NotLetIn(f"{self._door.place} refuses: {said}{_advice(status, self._door.token is not None)}")


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _connector(door: Door) -> aiohttp.BaseConnector:
    if path := door.place.address.path:
        return aiohttp.UnixConnector(path)
    return aiohttp.TCPConnector(ssl=door.tls) if door.tls is not None else aiohttp.TCPConnector()


def _advice(status: int, has_token: bool) -> str:
    if status == 401 and has_token:
        return "\nthe token is not one of this gateway's admin tokens, or is over: --token-file FILE names another"
    if status == 401:
        return "\nit wants a token (--token-file FILE) or a client certificate (--cert FILE --key FILE)"
    return "\nthis token or certificate may not do that: changes need the role write" if status == 403 else ""


def _in_words(error: Exception) -> str:
    match error:
        case asyncio.TimeoutError():
            return f"nothing came within {_SECONDS:g} s"
        case aiohttp.ClientResponseError():
            return "it does not speak HTTP"
        case aiohttp.ClientConnectorCertificateError():
            why = printable(str(error.certificate_error))
            return f"its certificate is not accepted ({why}); --ca FILE says who vouches, --admin URL what it is called"
        case aiohttp.ClientConnectorError(os_error=os_error):
            number = None if isinstance(os_error, ssl.SSLError | socket.gaierror) else os_error.errno
            why = os.strerror(number) if number else os_error.strerror or str(os_error)
            return f"{printable(why)}; is the gateway running, and is this its admin address?"
    return printable(str(error) or type(error).__name__)


def _seconds(text: str) -> float:
    return min(float(text), _LONGEST_WAIT) if text.isascii() and text.isdigit() else 0.0
