"""Settings of upstreams to what the pools are made from."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.upstream_trouble import Breaker, Ejection, Health, Retries
from gateway.config.upstreams import UpstreamSettings, UpstreamTls
from gateway.mechanisms.base import Resources
from gateway.model.upstream import TargetAddress

Factory = Callable[[], asyncio.Protocol]
"""Makes the protocol of a new connection."""
ConnectInside = Callable[[Factory], asyncio.Transport]
"""Makes a connection to a server in this process. Raises OSError."""


def nobody_inside(client: Factory) -> asyncio.Transport:
    """Connect to nobody: nothing is served in this process."""
    raise ConnectionRefusedError("nothing is served inside this process")


@dataclass(frozen=True)
class UpstreamSpec:
    """One upstream, ready to be connected to. Durations are seconds."""

    name: str
    targets: tuple[TargetAddress, ...]
    balance: str = "round_robin"
    host: str = "preserve"
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    connect_timeout: float = 5
    connections: int = 256
    idle_connections: int = 64
    idle_lifetime: float = 30
    queue: int = 256
    requests: int | None = None
    health: Health | None = None
    ejection: Ejection | None = None
    """None where it is switched off, or there is only one target."""
    breaker: Breaker | None = None
    retries: Retries = field(default_factory=Retries)
    inside: ConnectInside = nobody_inside
    """How to connect to a target that is INSIDE."""


def upstream_spec(name: str, settings: UpstreamSettings, resources: Resources) -> UpstreamSpec:
    has_tls = any(target.scheme == "https" for target in settings.targets)
    return UpstreamSpec(
        name=name,
        targets=settings.targets,
        balance=settings.balance,
        host=settings.host,
        tls=_upstream_tls(settings.tls, resources) if has_tls else None,
        server_name=settings.tls.server_name,
        connect_timeout=settings.timeouts.connect,
        connections=settings.connections,
        idle_connections=settings.idle_connections,
        idle_lifetime=settings.idle_lifetime,
        queue=settings.queue,
        requests=settings.requests,
        health=settings.health,
        ejection=_ejection(settings),
        breaker=settings.breaker,
        retries=settings.retries,
    )


def _ejection(settings: UpstreamSettings) -> Ejection | None:
    if settings.ejection == "never" or len(settings.targets) == 1:
        return None
    return settings.ejection


def _upstream_tls(settings: UpstreamTls, resources: Resources) -> ssl.SSLContext:
    with resources.steady(*(file for file in (settings.ca, settings.certificate, settings.key) if file is not None)):
        return _tls_from_files(settings, resources.directory)


def _tls_from_files(settings: UpstreamTls, directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if settings.ca is None else str(directory / settings.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate is not None and settings.key is not None:
        context.load_cert_chain(directory / settings.certificate, directory / settings.key)
    return context
