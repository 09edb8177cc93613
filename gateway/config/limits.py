"""What a client may send, and how long it may take."""

from typing import Annotated

from pydantic import Field

from gateway.model.settings import ByteSize, Seconds, Settings


class Limits(Settings):
    """Bounds on what a client may send. Beyond one, the request is refused with the status in parentheses."""

    connections: Annotated[int, Field(ge=1)] = 10_000
    """Client connections held at once, over all listeners (503)."""
    target_bytes: ByteSize = 8 * 1024
    """Length of the request-target (414)."""
    header_bytes: ByteSize = 32 * 1024
    """Length of the whole request head (431)."""
    headers: Annotated[int, Field(ge=1)] = 100
    """Number of request headers (431)."""
    body_bytes: ByteSize | None = None
    """Length of a request body (413). Without it, bodies of any length stream through. A route may set its own."""
    token_bytes: ByteSize = 8 * 1024
    """Length of a token (400)."""
    identity_bytes: ByteSize = 16 * 1024
    """Length of all headers injected into one request (401)."""


class Timeouts(Settings):
    """How long a client may take. They are checked four times a second."""

    head: Seconds = 10
    """For a whole request head, from its first byte (408)."""
    keep_alive: Seconds = 75
    """For the next request on an idle connection (closed silently)."""
    body: Seconds = 30
    """Between two pieces of a request body (408), and for a client to take more of an answer (closed)."""
    drain: Seconds = 30
    """For requests in flight when the process is told to stop."""
    expiry_grace: Seconds = 0
    """How long streams and upgraded connections go on when their token has expired. A route may set its own."""
