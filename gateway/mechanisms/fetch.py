"""The settings of control calls, and who makes them: for key sets, discovery documents, logins at a backend."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from gateway.mechanisms.base import Answer, BadSetting
from gateway.model.settings import FilePath, Seconds, Settings

if TYPE_CHECKING:
    from gateway.mechanisms.calls import Calls


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

    The HTTP library is loaded by the first call, or by `load`: most gateways that read their keys from a file call
    nobody, and it would be a fifth of their memory and of their start.
    """

    def __init__(self, timeout: float = 5.0, ca_file: Path | None = None) -> None:
        self._timeout = timeout
        self._ca_file = ca_file
        self._calls: Calls | None = None

    def load(self) -> None:
        """Load the library and read the files of authorities now, and not with the first call. Raises BadSetting."""
        self._loaded().load()

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        """Return the body behind `url`, of at most `max_bytes` when decompressed. Raises FetchFailed."""
        return await self._loaded().fetch(url, max_bytes)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, max_bytes: int
    ) -> Answer:
        """Return the answer, whatever its status. Raises FetchFailed."""
        return await self._loaded().post(url, body, headers, timeout_s=timeout_s, max_bytes=max_bytes)

    async def finish(self) -> None:
        """Close, as soon as no call is under way."""
        if self._calls is not None:
            await self._calls.finish()

    async def close(self) -> None:
        if self._calls is not None:
            await self._calls.close()

    def _loaded(self) -> "Calls":
        if self._calls is None:
            from gateway.mechanisms.calls import Calls

            self._calls = Calls(self._timeout, lambda: control_tls(self._ca_file))
        return self._calls


def control_tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return the TLS settings of control calls. Raises BadSetting for a bad file."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise BadSetting(f"cannot use {ca_file} as certificate authorities: {error.strerror}") from error
    return context
