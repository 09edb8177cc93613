"""One health check: a GET on a connection of its own, whose answer is read up to the end of its head."""

import asyncio
import re
from typing import Final, cast

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.upstream_trouble import Health
from gateway.proxy.connecting import Connector
from gateway.proxy.targets import PooledTarget

RESULTS: Final = ("ok", "status", "timeout", "failed")
"""What comes of a check: a good answer, an answer with another status, none in time, or none at all."""

_HEAD_BYTES: Final = 16 * 1024
"""The largest answer head, and the most that is read."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: |\r\n)")
_INTERIM_ANSWERS: Final = 4


class Probe:
    """Checks the targets of one upstream."""

    def __init__(self, spec: UpstreamSpec, settings: Health, connector: Connector) -> None:
        self._settings = settings
        self._connector = connector
        self._host = spec.host

    async def check(self, target: PooledTarget) -> str:
        """Return one of RESULTS."""
        try:
            async with asyncio.timeout(self._settings.timeout):
                status = await self._ask(target)
        except TimeoutError:
            return "timeout"
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # not reached, closed, or not HTTP/1.1
            return "failed"
        statuses = self._settings.statuses
        return "ok" if (200 <= status < 300 if statuses is None else status in statuses) else "status"

    async def _ask(self, target: PooledTarget) -> int:
        reader = asyncio.StreamReader(limit=_HEAD_BYTES)
        protocol = _Connection(reader)
        try:
            await self._connector.open(lambda: protocol, target.address, self._settings.timeout)
            protocol.transport.write(self._request(target))
            for _ in range(_INTERIM_ANSWERS):
                status = _status(await reader.readuntil(b"\r\n\r\n"))
                if status >= 200:
                    return status
            raise ValueError("too many interim answers")
        finally:
            protocol.abort()

    def _request(self, target: PooledTarget) -> bytes:
        host = target.authority if self._host in ("preserve", "target") else self._host.encode()
        return b"".join(
            (
                b"GET ",
                self._settings.path.encode(),
                b" HTTP/1.1\r\nHost: ",
                host,
                b"\r\nUser-Agent: gateway-health\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            )
        )


class _Connection(asyncio.StreamReaderProtocol):
    """A stream of which only the reading half is wanted: it is closed at once, whatever is under way."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def abort(self) -> None:
        if hasattr(self, "transport"):
            self.transport.abort()


def _status(head: bytes) -> int:
    """Return the status of an answer. Raises ValueError."""
    if not (match := _STATUS.match(head)):
        raise ValueError("not HTTP/1.1")
    return int(match[1])
