"""The proven caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Claims = Mapping[str, Any]
"""The payload of a verified token, as strict JSON values."""

ClaimPath = tuple[str, ...]
"""Where a claim is: `("realm_access", "roles")`."""

PrincipalType = Literal["user", "client"]


@dataclass(frozen=True, eq=False)
class Principal:
    """Who is calling, as one authenticator proved it. True on every route; says nothing about permission.

    Times are Unix seconds. `usable_until` is `exp` plus the authenticator's leeway: from then on the token is expired.
    `verified_by` names the key (its thumbprint), so that the principal can be forgotten together with it.
    `marks` are the pairs of mark and ordinal that a revocation can name (see `model.revocation`). `session_id` and
    `generation` are those of the gateway's own tokens; the token of another issuer has none.
    """

    subject: str
    issuer: str
    type: PrincipalType
    claims: Claims
    scopes: frozenset[str]
    issued_at: int | None
    expires_at: int
    usable_until: float
    token_id: str | None
    client_id: str | None
    authenticator: str
    verified_by: str
    marks: tuple[tuple[bytes, int], ...] = ()
    session_id: str | None = None
    generation: int | None = None
    identity_headers: dict[str, "HeaderBlock"] = field(default_factory=dict, repr=False)
    """Memo, not part of the value: the header block made for each distinct `inject` list."""
    cleared_at: list[int] = field(default_factory=lambda: [-1], repr=False)
    """Memo: the version of the revocations by which the principal was last found good."""


@dataclass(frozen=True)
class HeaderBlock:
    """Headers ready for the wire (`Name: value\\r\\n` lines), good until `usable_until` (Unix seconds)."""

    lines: bytes
    usable_until: float


def claim_at(claims: Claims, path: ClaimPath) -> Any | None:
    """Return the claim at `path`, or None where it is absent or null."""
    value: Any = claims
    for name in path:
        if type(value) is not dict and not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value
