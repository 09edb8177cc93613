"""Whether upstreams can be found and reached from here."""

import asyncio
import os
import ssl
from typing import Final

from cryptography import x509

from gateway.commands.doctoring.certificates import judged
from gateway.commands.doctoring.finding import Finding, Patient, fine, problem
from gateway.config.compile_upstreams import upstream_spec
from gateway.mechanisms.base import BadSetting, offline_resources
from gateway.model.upstream import TargetAddress

_LONGEST: Final = 5.0
"""Seconds for a target, however long its `connect` may take."""


async def upstreams(patient: Patient) -> list[Finding]:
    asked = []
    for name, settings in patient.config.upstreams.items():
        try:
            spec = upstream_spec(name, settings, offline_resources(patient.directory))
        except (BadSetting, OSError):  # the check of the configuration tells
            continue
        for target in spec.targets:
            server_name = spec.server_name or target.address.host
            tls = spec.tls if target.scheme == "https" else None
            asked.append(_of(f"upstreams.{name}: {target}", target, tls, server_name, patient))
    return [finding for found in await asyncio.gather(*asked) for finding in found]


async def _of(
    name: str, target: TargetAddress, tls: ssl.SSLContext | None, server_name: str, patient: Patient
) -> list[Finding]:
    address = target.address
    if not address.path:
        try:
            async with asyncio.timeout(_LONGEST):
                await asyncio.get_running_loop().getaddrinfo(address.host, address.port)
        except (OSError, TimeoutError):
            says = f"{name}: nobody knows the name {address.host}"
            return [problem("upstreams", says, "correct targets, or the DNS of this host")]
    try:
        async with asyncio.timeout(_LONGEST):
            reached = await _reached(target, tls, server_name)
    except ssl.SSLError as error:
        says = f"{name}: no TLS: {getattr(error, 'verify_message', '') or error.reason}"
        return [
            problem("upstreams", says, "see its certificate; upstreams.*.tls says which authority and name to expect")
        ]
    except (OSError, TimeoutError) as error:
        says = f"{name} cannot be reached: {_words(error)}"
        return [
            problem("upstreams", says, "start it, or see that this host can reach the port (firewall, NetworkPolicy)")
        ]
    found = [fine("upstreams", f"{name} can be reached")]
    if reached is not None:
        certificate = x509.load_der_x509_certificate(reached)
        found.append(judged("upstream_certificates", name, certificate, patient.clock()))
    return found


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "no answer"


async def _reached(target: TargetAddress, tls: ssl.SSLContext | None, server_name: str) -> bytes | None:
    """Connect, and hang up. Return the certificate, where there is one. Raises OSError."""
    address = target.address
    if address.path:
        _, writer = await asyncio.open_unix_connection(address.path)
    elif tls is None:
        _, writer = await asyncio.open_connection(address.host, address.port)
    else:
        _, writer = await asyncio.open_connection(address.host, address.port, ssl=tls, server_hostname=server_name)
    try:
        over: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
        return None if over is None else over.getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
