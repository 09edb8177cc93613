"""The certificate by which a client has proven itself in the TLS handshake, and what it is called."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = frozenset({"DNS", "URI", "email"})


@dataclass(frozen=True, slots=True)
class Certificate:
    """`names` are written as in the settings: `DNS:alice.ops.example`, `CN:alice`. Good until `ends_at` (Unix
    seconds): a connection may last longer."""

    names: frozenset[str]
    ends_at: float


def certificate_of(peer: Mapping[str, Any] | None) -> Certificate | None:
    """Return the certificate in what `SSLSocket.getpeercert` tells; None where the client has shown none.

    Of the common name only one counts: with several, nobody could say which one the authority has looked at.
    """
    if not peer:
        return None
    names = {f"{kind}:{_canonical(kind, name)}" for kind, name in peer.get("subjectAltName", ()) if kind in _KINDS}
    common = [value for part in peer.get("subject", ()) for kind, value in part if kind == "commonName"]
    if len(common) == 1:
        names.add(f"CN:{common[0]}")
    return Certificate(frozenset(names), ssl.cert_time_to_seconds(peer["notAfter"]))


def _canonical(kind: str, name: str) -> str:
    return name.lower() if kind == "DNS" else name
