"""Control calls over aiohttp. Loaded when there is somebody to call."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from gateway.mechanisms.base import Answer, FetchFailed

MAX_REDIRECTS = 3
_LOOK_EVERY = 0.1
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Calls:
    """What a `ControlClient` does. `tls` says whom to trust: it is asked once, and raises BadSetting.

    Keeps no cookies, uses no proxy. `fetch` follows redirects only within one origin, `post` follows none.
    """

    def __init__(self, timeout: float, tls: Callable[[], ssl.SSLContext]) -> None:
        self._timeout = timeout
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._session: aiohttp.ClientSession | None = None
        self._under_way = 0

    def load(self) -> None:
        """Read the files of authorities, unless they were read."""
        self._tls = self._tls or self._make_tls()

    async def fetch(self, url: str, max_bytes: int) -> bytes:
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
                connector=aiohttp.TCPConnector(ssl=self._tls or self._make_tls()),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._timeout),
            )
        return self._session


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
