"""Settings of upstreams to what the pools are made from."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.config.upstreams import UpstreamSettings, UpstreamTls
from gateway.mechanisms.base import Resources
from gateway.model.upstream import TargetAddress


@dataclass(frozen=True, slots=True)
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


def upstream_spec(name: str, settings: UpstreamSettings, resources: Resources) -> UpstreamSpec:
    has_tls = any(target.scheme == "https" for target in settings.targets)
    return UpstreamSpec(
        name=name,
        targets=settings.targets,
        balance=settings.balance,
        host=settings.host,
        tls=_upstream_tls(settings.tls, resources.directory) if has_tls else None,
        server_name=settings.tls.server_name,
        connect_timeout=settings.timeouts.connect,
        connections=settings.connections,
        idle_connections=settings.idle_connections,
        idle_lifetime=settings.idle_lifetime,
        queue=settings.queue,
    )


def _upstream_tls(settings: UpstreamTls, directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if settings.ca is None else str(directory / settings.ca))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.certificate is not None and settings.key is not None:
        context.load_cert_chain(directory / settings.certificate, directory / settings.key)
    return context
