"""The HTTP client for control calls: key sets, discovery documents, logins at a backend."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import aiohttp
from pydantic import Field
from yarl import URL

from gateway.mechanisms.base import Answer, BadSetting, FetchFailed
from gateway.model.settings import FilePath, Seconds, Settings

MAX_REDIRECTS = 3
_LOOK_EVERY = 0.1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchSettings(Settings):
    """How the keys of issuers are fetched."""

    timeout: Annotated[Seconds, Field(gt=0)] = 5
    """For one document, redirects included."""
    ca: FilePath | None = None
    """Certificate authorities to trust beside the system's, in PEM."""

    def client(self, directory: Path) -> "ControlClient":
        """Return a client with these settings. `directory` is where relative file names start."""
        return ControlClient(self.timeout, None if self.ca is None else directory / self.ca)


class ControlClient:
    """Makes small calls. `fetch` is a `Fetch`, `post` is a `Post`; call `close` at the end.

    Trusts the system's authorities and those in `ca_file`, which `control_tls` accepts. Keeps no cookies, uses no
    proxy. `fetch` follows redirects only within one origin, `post` follows none.
    """

    def __init__(self, timeout: float = 5.0, ca_file: Path | None = None) -> None:
        self._timeout = timeout
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0

    def load(self) -> None:
        """Read the file of authorities now, and not with the first call. Raises BadSetting."""
        self._tls = control_tls(self._ca_file)

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Return the body behind `url`, of at most `max_bytes` when decompressed. Raises FetchFailed."""
        try:
            async with self._call(self._timeout):
                return await self._follow(URL(url), max_bytes)
        except TimeoutError as error:
            raise FetchFailed(f"{_public(url)} did not answer within {self._timeout:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"{_public(url)}: {error or type(error).__name__}") from error

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int
    ) -> Answer:
        """On a connection of its own: one that the server is about to close would lose what must not be sent twice."""
        try:
            async with (
                self._call(timeout_s),
                self._client().post(
                    URL(url),
                    data=body,
                    headers={**headers, "Connection": "close"},
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=timeout_s),
                ) as response,
            ):
                content = await _body(response, max_bytes)
                return Answer(response.status, response.headers.get("Retry-After"), content)
        except TimeoutError as error:
            raise FetchFailed(f"{_public(url)} did not answer within {timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise FetchFailed(f"{_public(url)}: {error or type(error).__name__}") from error

    @asynccontextmanager
    async def _call(self, timeout_s: float) -> AsyncIterator[None]:
        self._under_way += 1
        try:
            async with asyncio.timeout(timeout_s):
                yield
        finally:
            self._under_way -= 1

    async def finish(self) -> None:
        """Close, as soon as no call is under way."""
        while self._under_way:  # noqa: ASYNC110 - few, and rarely
            await asyncio.sleep(_LOOK_EVERY)
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, url: URL, max_bytes: int) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._client().get(url, allow_redirects=False) as response:
                if response.status == 200:
                    return await _body(response, max_bytes)
                if response.status not in _REDIRECTS:
                    raise FetchFailed(f"{_public(url)} answered {response.status}")
                target = url.join(URL(response.headers.get("Location", "")))
            if target.origin() != url.origin():
                raise FetchFailed(f"{_public(url)} redirects to another origin")
            url = target
        raise FetchFailed(f"{_public(url)} redirects more than {MAX_REDIRECTS} times")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._tls or control_tls(self._ca_file)),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._session


def control_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings of control calls. Raises BadSetting for a bad file."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise BadSetting(f"cannot use {ca_file} as certificate authorities: {error.strerror}") from error
    return context


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed(f"{_public(response.url)} is larger than {max_bytes} bytes")
    return bytes(body)


def _public(url: str | URL) -> str:
    """Return a URL for the log: without user, password, query and fragment."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "a malformed URL"
