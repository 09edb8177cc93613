"""Settings of an upstream: where it is, how it is spoken to, and what it may take."""

import ssl
from typing import Annotated, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, field_validator, model_validator

from gateway.config.text import from_text
from gateway.config.upstream_trouble import Breaker, Ejection, Health, Retries
from gateway.model.settings import FilePath, Seconds, Settings
from gateway.model.upstream import TargetAddress, parse_target


class UpstreamTimeouts(Settings):
    """How long an upstream may take. They are checked four times a second."""

    connect: Seconds = 5
    """For a connection, with its TLS handshake (504), or for one to become free (503)."""
    first_byte: Seconds = 60
    """From the end of the request to the answer's head (504)."""
    idle: Seconds = 300
    """Between two pieces of an answer or of an upload (504, or closed), and on an upgraded connection."""


class UpstreamTls(Settings):
    """TLS towards an upstream. Files are PEM."""

    ca: FilePath | None = None
    """Certificate authorities to trust instead of the system's."""
    certificate: FilePath | None = None
    """The gateway's client certificate."""
    key: FilePath | None = None
    """The client certificate's private key."""
    server_name: str | None = None
    """The name to expect in the certificate, if it is not the target's host."""
    verify: bool = True
    """Check the certificate. Switching it off must be named: `insecure: [unverified_upstream_tls]`."""

    @field_validator("server_name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        """A name that TLS does not take would show with the first connection only."""
        if name is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
            except (ValueError, TypeError) as error:
                raise ValueError(f'"{name}" is not the name of a server') from error
        return name

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


Target = Annotated[
    TargetAddress, PlainValidator(from_text(parse_target)), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""`http://host:port`, `https://host:port`, or `unix:/path`."""


class UpstreamSettings(Settings):
    """A service behind the gateway, with one or more targets."""

    targets: Annotated[tuple[Target, ...], Field(min_length=1)]
    """Where it is: `http://127.0.0.1:9000`, `https://orders.internal`, `unix:/run/app.sock`."""
    balance: Literal["round_robin", "least_connections"] = "round_robin"
    """How requests are spread over the targets."""
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+$")] = "preserve"
    """The `Host` it sees: `preserve` (the client's), `target` (the target's own), or a fixed name."""
    tls: UpstreamTls = UpstreamTls()
    """TLS, for https targets."""
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    """How long it may take."""
    connections: Annotated[int, Field(ge=1)] = 256
    """Connections per target and process."""
    idle_connections: Annotated[int, Field(ge=0)] = 64
    """Idle connections kept per target and process."""
    idle_lifetime: Seconds = 30
    """How long an idle connection is kept. Keep it below the upstream's own keep-alive time."""
    queue: Annotated[int, Field(ge=0)] = 256
    """Requests that may wait for a connection (503 beyond)."""
    requests: Annotated[int, Field(ge=1)] | None = None
    """Requests at once per process, tunnels and those that wait included (503 beyond)."""
    health: Health | None = None
    """Active health checks; none without it."""
    ejection: Ejection | Literal["never"] = Ejection()
    """When a target gets no requests for a while because it failed some. Needs a second target."""
    breaker: Breaker | None = None
    """When the whole upstream is spared for a while; never without it."""
    retries: Retries = Retries()
    """What is tried again when it failed."""
