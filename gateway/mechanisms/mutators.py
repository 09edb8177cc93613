"""What the upstream is told about the caller: the members of a route's `inject` list.

An absent claim is an absent header. A value that is not header-safe is percent-encoded, never split: every byte outside
%x21-24, %x26-7E and inner spaces, and the percent sign itself. Commas inside members of a list are encoded too, also
where each member has a header of its own: whoever reads those may join them with commas (RFC 9110 §5.3).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Discriminator, Field, Tag

from gateway.mechanisms.base import HeaderEdits
from gateway.model.principal import Principal, claim_at
from gateway.model.settings import ClaimPathSetting, HeaderName, Seconds, Settings
from gateway.tokens.signing import SigningKey

_SAFE = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_SAFE_IN_LIST = _SAFE.replace(",", "")
_PLAIN = re.compile(r"[!-$&-~](?:[ -$&-~]*[!-$&-~])?")
"""Text that is header-safe as it is (RFC 9110 §5.5), and holds no percent sign."""


def header_safe(text: str, *, in_list: bool = False) -> str:
    """Return the text as it is where it is header-safe, else percent-encoded (as UTF-8); `unquote` gives it back."""
    if _PLAIN.fullmatch(text) and not (in_list and "," in text):
        return text
    return _safe_edges(_encoded(text, _SAFE_IN_LIST if in_list else _SAFE))


def _encoded(text: str, safe: str) -> str:
    return quote(text, safe=safe + " ", errors="surrogatepass")


def _safe_edges(encoded: str) -> str:
    """Return the text with the spaces at its ends encoded: as they are, nobody would see them."""
    start, end = len(encoded) - len(encoded.lstrip(" ")), len(encoded.rstrip(" "))
    return "%20" * start + encoded[start:end] + "%20" * (len(encoded) - max(start, end))


def claim_text(value: Any) -> str:
    """Return a claim as text: strings as they are, everything else as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


class ClaimHeader(Settings):
    """A header with the value of a claim."""

    header: HeaderName
    """The header's name."""
    claim: ClaimPathSetting
    """The claim: `sub`, `realm_access.roles`, or a list of names where a name contains a dot."""
    list: Literal["comma", "repeat", "json"] = "comma"
    """How a list is written: members separated by commas, one header per member, or a JSON array."""

    @property
    def owned(self) -> frozenset[str]:
        return frozenset({self.header})

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        value = claim_at(principal.claims, self.claim)
        if type(value) is str and _PLAIN.fullmatch(value):
            return HeaderEdits(((self.header, value),))
        return HeaderEdits(tuple((self.header, text) for text in self._texts(value)))

    def _texts(self, value: Any) -> tuple[str, ...]:
        if value is None:
            return ()
        if not isinstance(value, (list, tuple)) or self.list == "json":
            return (header_safe(claim_text(value)),)
        members = tuple(header_safe(claim_text(member), in_list=True) for member in value if member is not None)
        return members if self.list == "repeat" or not members else (",".join(members),)


class FixedHeader(Settings):
    """A header with a fixed value."""

    header: HeaderName
    """The header's name."""
    value: Annotated[str, Field(pattern=r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")]
    """The value: visible ASCII."""

    @property
    def owned(self) -> frozenset[str]:
        return frozenset({self.header})

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        return HeaderEdits(((self.header, self.value),))


_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")


class TemplateHeader(Settings):
    """A header made of text and claims. It is absent when one of the claims is absent.

    The signs of the text, other than spaces, are percent-encoded where they stand in a claim: with `{org}/{name}`
    nobody can take a name that looks like the `org` of another. Whoever reads the header splits first, then decodes.
    """

    header: HeaderName
    """The header's name."""
    template: Annotated[str, Field(pattern=r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$")]
    """Text with claims in braces: `{iss}#{sub}`, `{realm_access.roles}`."""

    @property
    def owned(self) -> frozenset[str]:
        return frozenset({self.header})

    @property
    def claims(self) -> tuple[tuple[str, ...], ...]:
        """The claims that the template uses."""
        return tuple(tuple(name.split(".")) for name in _PLACEHOLDER.findall(self.template))

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        values = {path: claim_at(principal.claims, path) for path in self.claims}
        if None in values.values():
            return HeaderEdits(())
        pieces = _PLACEHOLDER.split(self.template)
        pieces[0::2] = [_encoded(text, _SAFE) for text in pieces[0::2]]
        pieces[1::2] = [self._without_signs(claim_text(values[tuple(name.split("."))])) for name in pieces[1::2]]
        return HeaderEdits(((self.header, _safe_edges("".join(pieces))),))

    def _without_signs(self, claim: str) -> str:
        return "".join(f"%{ord(char):02X}" if char in self._signs else char for char in _encoded(claim, _SAFE))

    @property
    def _signs(self) -> frozenset[str]:
        text = "".join(_PLACEHOLDER.split(self.template)[0::2])
        return frozenset(char for char in text if not char.isalnum() and char not in " %")


class IdentityTokenSettings(Settings):
    """A short-lived token for the upstream, signed with the gateway's own key (`identity`), in a header."""

    identity_token: HeaderName
    """The header's name."""
    audience: Annotated[str, Field(min_length=1)]
    """The token's `aud`: the upstream's name for itself."""
    lifetime: Annotated[Seconds, Field(ge=10, le=3600)] = 60
    """How long a token is good. It is reused until half of that has passed, and never outlives the caller's token."""
    claims: tuple[str, ...] = ()
    """Claims of the caller's token to copy, beside `sub`, `client_id` and `scope`."""

    @property
    def owned(self) -> frozenset[str]:
        return frozenset({self.identity_token})

    def build(self, issuer: str, key: SigningKey) -> "IdentityToken":
        return IdentityToken(self, issuer, key)


@dataclass(frozen=True, slots=True)
class IdentityToken:
    """Signs who is calling. `origin_iss` names the issuer of the caller's own token."""

    settings: IdentityTokenSettings
    issuer: str
    key: SigningKey

    @property
    def owned(self) -> frozenset[str]:
        return self.settings.owned

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        issued_at = int(now)
        expires_at = int(min(issued_at + self.settings.lifetime, principal.usable_until))
        token = self.key.sign(self._claims(principal, issued_at, expires_at), typ="JWT")
        return HeaderEdits(
            ((self.settings.identity_token, token),), usable_until=min(now + self.settings.lifetime / 2, expires_at)
        )

    def _claims(self, principal: Principal, issued_at: int, expires_at: int) -> Mapping[str, Any]:
        copied = {name: principal.claims[name] for name in self.settings.claims if name in principal.claims}
        optional = {"client_id": principal.client_id, "scope": " ".join(sorted(principal.scopes)) or None}
        return {
            **copied,
            **{name: value for name, value in optional.items() if value is not None},
            "iss": self.issuer,
            "sub": principal.subject,
            "aud": self.settings.audience,
            "iat": issued_at,
            "exp": expires_at,
            "origin_iss": principal.issuer,
            "principal_type": principal.type,
        }


def _kind(value: object) -> str | None:
    for kind in ("claim", "value", "template", "identity_token"):
        if (isinstance(value, dict) and kind in value) or hasattr(value, kind):
            return kind
    return None


MutatorSettings = Annotated[
    Annotated[ClaimHeader, Tag("claim")]
    | Annotated[FixedHeader, Tag("value")]
    | Annotated[TemplateHeader, Tag("template")]
    | Annotated[IdentityTokenSettings, Tag("identity_token")],
    Discriminator(
        _kind,
        custom_error_type="unknown_mutator",
        custom_error_message="must have one of the keys claim, value, template, identity_token",
    ),
]
"""Every mutator there is."""
