"""The name of a key that follows from the key itself (RFC 7638)."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from gateway.tokens import base64url

_REQUIRED = ("crv", "e", "k", "kty", "n", "x", "y")
"""The members that make a key of any kind (RFC 7638 §3.2, RFC 8037 §2)."""


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the SHA-256 thumbprint of a public or secret JWK, base64url. RFC 7638 §3."""
    members = {name: jwk[name] for name in _REQUIRED if name in jwk}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode("ascii")
    return base64url.encode(sha256(canonical).digest())
