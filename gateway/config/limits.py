"""What a client may send, and how long it may take."""

from typing import Annotated

from pydantic import Field

from gateway.model.settings import ByteSize, Seconds, Settings


class Limits(Settings):
    """Bounds on what a client may send. Beyond one, the request is refused with the status in parentheses."""

    connections: Annotated[int, Field(ge=1)] = 10_000
    """Client connections held at once, over all listeners, TLS handshakes included. When all places are taken, a new
    connection gets the place of the one that has waited longest for a whole request; if all are of use, it is refused
    (503). Never more than the limit of open files allows. With `workers`, in each of them."""
    requests: Annotated[int, Field(ge=1)] | None = None
    """Requests being answered at once, over all listeners (503). Upgraded connections count as long as they are open.
    With `workers`, in each of them."""
    target_bytes: ByteSize = 8 * 1024
    """Length of the request-target (414)."""
    header_bytes: ByteSize = 32 * 1024
    """Length of the whole request head (431)."""
    headers: Annotated[int, Field(ge=1)] = 100
    """Number of request headers (431)."""
    body_bytes: ByteSize | None = None
    """Length of a request body (413). Without it, bodies of any length stream through. A route may set its own."""
    body_rate: ByteSize = 240
    """Bytes a second that a client must send of a body (408), and take of an answer (closed), on average: it may fall
    `timeouts.body` behind. Only the time counts in which nobody but the client was waited for. 0 for no such speed."""
    token_bytes: ByteSize = 8 * 1024
    """Length of a token (400)."""
    identity_bytes: ByteSize = 16 * 1024
    """Length of all headers injected into one request (401)."""
    rate_keys: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Clients that `rate_limits` count at once, per process: about 300 bytes each. With more, the counts nearest to
    their whole allowance are forgotten."""


class Timeouts(Settings):
    """How long a client may take. They are checked four times a second."""

    open: Annotated[Seconds, Field(gt=0)] = 10
    """For the first byte of a new connection (closed silently), and for a TLS handshake before that."""
    head: Seconds = 10
    """For a whole request head, from its first byte (408)."""
    keep_alive: Seconds = 75
    """For the next request on an idle connection (closed silently)."""
    body: Seconds = 30
    """How far a client may fall behind `limits.body_rate` with the body that it sends (408) and with the answer that it
    takes (closed). Without such a speed: how long it may be silent."""
    drain: Seconds = 30
    """For requests in flight when the process is told to stop; then they are cut."""
    drain_delay: Seconds = 0
    """Before that: not ready any more, but serving as ever, until senders have noticed. Ctrl-C skips it."""
    drain_streams: Seconds = 10
    """For upgraded connections and streams of events (`text/event-stream`) when the process is told to stop; at most
    `drain`."""
    expiry_grace: Seconds = 0
    """How long streams and upgraded connections go on when their token has expired. A route may set its own."""
