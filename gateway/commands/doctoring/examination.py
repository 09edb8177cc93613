"""Everything that a doctor looks at, in the order in which it is told."""

import asyncio
from typing import Final

from gateway.commands.doctoring import exposure, files, host
from gateway.commands.doctoring.certificates import certificates
from gateway.commands.doctoring.finding import Ask, Finding, Look, Patient
from gateway.commands.doctoring.key_sets import issuer_clock, key_sets
from gateway.commands.doctoring.store import store
from gateway.commands.doctoring.upstreams import upstreams

LOOKS: Final[tuple[Look, ...]] = (
    host.user,
    host.open_files,
    host.processors,
    files.secret_files,
    files.writable_files,
    certificates,
    exposure.listeners,
    exposure.ops_port,
    exposure.admin_port,
    exposure.trusted_proxies,
    exposure.issuers,
    exposure.audiences,
    exposure.shared_secrets,
    exposure.public_routes,
    exposure.weaknesses,
)
"""What shows on this host."""
ASKS: Final[tuple[Ask, ...]] = (store, key_sets, issuer_clock, upstreams)
"""What shows only when others are asked."""


async def examined(patient: Patient, *, offline: bool = False) -> list[Finding]:
    """Return everything that was found. `offline`: nobody is asked."""
    found = [finding for look in LOOKS for finding in look(patient)]
    answers = await asyncio.gather(*(ask(patient) for ask in (() if offline else ASKS)))
    return found + [finding for answer in answers for finding in answer]
