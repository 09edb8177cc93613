"""An upgraded connection: bytes both ways as they are, until a side closes, silence is too long, or the token dies."""

from time import monotonic
from typing import TYPE_CHECKING

from gateway.model.errors import ExpiredToken, Refusal
from gateway.proxy.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection
    from gateway.proxy.relay import Relay


class Tunnel:
    """Both ends of an upgraded connection. `token_ends_at` is monotonic time, `idle_timeout` seconds.

    The upstream's connection keeps the deadline: the end of the token, or of a silence, whichever comes first.
    """

    def __init__(
        self,
        relay: "Relay",
        client: "ClientConnection",
        upstream: UpstreamConnection,
        idle_timeout: float,
        token_ends_at: float,
    ) -> None:
        """The relay is that of the request for the upgrade: it is recorded when the tunnel closes."""
        self._relay = relay
        self._client = client
        self._upstream = upstream
        self._idle_timeout = idle_timeout
        self._token_ends_at = token_ends_at
        self._is_closed = False
        self._stay_alive()

    def from_client(self, data: bytes) -> None:
        self._relay.request_bytes += len(data)
        self._upstream.write(data)
        self._stay_alive()

    def from_upstream(self, data: bytes) -> None:
        self._relay.answer.body_bytes += len(data)
        self._client.send(data)
        self._client.flush()
        self._stay_alive()

    def client_blocked(self) -> None:
        self._upstream.pause_reading()

    def client_writable(self) -> None:
        self._upstream.resume_reading()

    def client_gone(self, error: Refusal | None = None) -> None:
        """The client closed its side, or had to be cut: what it said last still reaches the upstream."""
        if not self._is_closed:
            self._upstream.close_after_flush()
            self._close(error)

    def upstream_gone(self) -> None:
        """The upstream closed its side, or the deadline passed."""
        if not self._is_closed:
            is_expired = monotonic() >= self._token_ends_at
            self._close(ExpiredToken("the token of the tunnel ran out") if is_expired else None)

    def end(self, error: Refusal) -> None:
        """Close both sides when they have what was said last."""
        if not self._is_closed:
            self._upstream.close_after_flush()
            self._close(error)

    def cut(self, error: Refusal) -> None:
        """Close both sides at once."""
        if not self._is_closed:
            self._upstream.abort()
            self._close(error)

    def _close(self, error: Refusal | None) -> None:
        self._is_closed = True
        self._relay.tunnel_closed(error)

    def _stay_alive(self) -> None:
        self._upstream.deadline = min(monotonic() + self._idle_timeout, self._token_ends_at)
