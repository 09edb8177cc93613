"""Which tokens are good (RFC 7519 §7.2, RFC 8725 §3, RFC 9068 §4).

PyJWT checks the signature, the two tables below everything else. The order matters: what the header asks for, then the
signature, and only then the claims. `gateway explain` prints the same tables.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.model.decision import Pending
from gateway.model.errors import (
    BadSignature,
    BoundToken,
    ExpiredToken,
    InvalidClaim,
    LifetimeTooLong,
    MissingClaim,
    NotYetValid,
    WrongAlgorithm,
    WrongAudience,
    WrongIssuer,
    WrongType,
)
from gateway.model.principal import Claims
from gateway.tokens.jose import Jws
from gateway.tokens.keys import ALGORITHMS, Key, KeySource

LAST_SECOND = 253402300799
"""The end of the year 9999; a later NumericDate is a mistake."""


@dataclass(frozen=True, slots=True)
class Expectations:
    """What the tokens of one issuer must look like. Durations are seconds.

    `types` holds media types as `media_type` writes them, and None if a token may come without `typ`.
    Without `audiences`, `aud` is not looked at.
    """

    issuer: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    types: frozenset[str | None] = frozenset({"at+jwt"})
    leeway: float = 5
    required_claims: tuple[str, ...] = ("iat",)
    max_lifetime: float = 86400
    strict_audience: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """The claims of a good token, and the key that signed it."""

    claims: Claims
    key: Key


def verify_jwt(jws: Jws, keys: KeySource, expect: Expectations, now: float) -> Verified | Pending:
    """Return the claims of a valid token. RFC 7519 §7.2.

    `now` is Unix seconds. Raises InvalidToken or KeysUnavailable; Pending if keys must be fetched first.
    Does not check scope or anything else that depends on the route.
    """
    check_header(jws.header, expect, now)
    key = find_signer(jws, keys, now)
    if isinstance(key, Pending):
        return key
    check_claims(jws.payload, expect, now)
    return Verified(jws.payload, key)


def check_header(header: Mapping[str, Any], expect: Expectations, now: float) -> None:
    """Raise InvalidToken unless a header is as expected."""
    for check in HEADER_CHECKS:
        check.check(header, expect, now)


def find_signer(jws: Jws, keys: KeySource, now: float) -> Key | Pending:
    """Return the key that made a token whose header is good. It proves who wrote the claims, and no more than that.

    Raises InvalidToken or KeysUnavailable; Pending if keys must be fetched first.
    """
    candidates = keys.lookup(jws.kid, jws.alg, now)
    return candidates if isinstance(candidates, Pending) else signing_key(jws, candidates)


def check_claims(claims: Claims, expect: Expectations, now: float) -> None:
    """Raise InvalidToken unless authentic claims are good now."""
    if not _are_plainly_good(claims, expect, now):
        for check in CLAIM_CHECKS:
            check.check(claims, expect, now)


def _are_plainly_good(claims: Claims, expect: Expectations, now: float) -> bool:
    """Say at little cost that CLAIM_CHECKS would find nothing, as with nearly all tokens. False says nothing."""
    exp, iat, nbf = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    audience, subject = claims.get("aud"), claims.get("sub")
    return (
        type(exp) is int
        and type(iat) is int
        and type(nbf) is int
        and 0 <= iat <= now < exp <= LAST_SECOND
        and 0 <= nbf <= now
        and exp - iat <= expect.max_lifetime
        and claims.get("iss") == expect.issuer
        and type(audience) is str
        and audience in expect.audiences
        and type(subject) is str
        and subject != ""
        and "cnf" not in claims
        and (expect.required_claims == _ONLY_IAT or None not in map(claims.get, expect.required_claims))
    )


_ONLY_IAT = ("iat",)


def signing_key(jws: Jws, candidates: tuple[Key, ...]) -> Key:
    """Return the key that made the signature. Raises BadSignature if none of them did."""
    alg = jws.alg
    for key in candidates:
        if alg in key.algorithms and ALGORITHMS[alg].verify(jws.signing_input, key.material, jws.signature):
            return key
    raise BadSignature(f"no key verifies the signature; tried {len(candidates)}")


def refuse_expired(expires_at: float, leeway: float, now: float) -> None:
    """Raise ExpiredToken if this `exp` has passed. RFC 7519 §4.1.4."""
    if now >= expires_at + leeway:
        raise ExpiredToken(f"exp {expires_at} + leeway {leeway:g} <= now {now:.3f}")


def media_type(typ: Any) -> str:
    """Return a `typ` as it is compared: lower case, without `application/` (RFC 7515 §4.1.9). Raises WrongType."""
    if type(typ) is not str:
        raise WrongType("typ is not a string")
    return typ.lower().removeprefix("application/")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of a header or of claims. `check` raises InvalidToken; `shows` tells its values."""

    name: str
    check: Callable[[Mapping[str, Any], Expectations, float], None]
    shows: Callable[[Mapping[str, Any], Expectations, float], str]


def _check_algorithm(header: Mapping[str, Any], expect: Expectations, now: float) -> None:
    if header["alg"] not in expect.algorithms:
        raise WrongAlgorithm(f"alg {_short(header['alg'])} is not accepted")


def _check_type(header: Mapping[str, Any], expect: Expectations, now: float) -> None:
    typ = media_type(header["typ"]) if "typ" in header else None
    if typ not in expect.types:
        raise WrongType(f"typ {_short(typ)} is not accepted")


def _check_issuer(claims: Claims, expect: Expectations, now: float) -> None:
    if claims.get("iss") != expect.issuer:
        raise WrongIssuer(f"iss {_short(claims.get('iss'))}, expected {expect.issuer!r}")


def _check_audience(claims: Claims, expect: Expectations, now: float) -> None:
    if not expect.audiences:
        return
    if "aud" not in claims:
        raise MissingClaim("aud is missing")
    audiences = [claims["aud"]] if type(claims["aud"]) is str else claims["aud"]
    if type(audiences) is not list or not all(type(audience) is str for audience in audiences):
        raise InvalidClaim("aud is neither a string nor an array of strings")
    if expect.audiences.isdisjoint(audiences):
        raise WrongAudience(f"aud {_short(audiences)}")
    if expect.strict_audience and len(audiences) != 1:
        raise WrongAudience(f"aud names {len(audiences)} audiences, and strict_audience is on")


def _check_expiry(claims: Claims, expect: Expectations, now: float) -> None:
    refuse_expired(_time(claims, "exp"), expect.leeway, now)


def _check_begin(name: str) -> Callable[[Claims, Expectations, float], None]:
    def check(claims: Claims, expect: Expectations, now: float) -> None:
        if name in claims and _time(claims, name) > now + expect.leeway:
            raise NotYetValid(f"{name} {claims[name]} > now {now:.3f} + leeway {expect.leeway:g}")

    return check


def _check_lifetime(claims: Claims, expect: Expectations, now: float) -> None:
    lifetime = _time(claims, "exp") - (_time(claims, "iat") if "iat" in claims else now)
    if lifetime > expect.max_lifetime:
        raise LifetimeTooLong(f"good for {lifetime:.0f} s, at most {expect.max_lifetime:g} s are accepted")


def _check_subject(claims: Claims, expect: Expectations, now: float) -> None:
    if "sub" not in claims:
        raise MissingClaim("sub is missing")
    if type(claims["sub"]) is not str or not claims["sub"]:
        raise InvalidClaim("sub is not a non-empty string")


def _check_binding(claims: Claims, expect: Expectations, now: float) -> None:
    if "cnf" in claims:
        raise BoundToken("the token has cnf, and came without proof of possession")


def _check_required(claims: Claims, expect: Expectations, now: float) -> None:
    for name in expect.required_claims:
        if claims.get(name) is None:
            raise MissingClaim(f"{name} is missing or null")


HEADER_CHECKS = (
    Check(
        "algorithm",
        _check_algorithm,
        lambda header, expect, now: f"alg = {_claim(header, 'alg')}, expected one of {sorted(expect.algorithms)}",
    ),
    Check(
        "type",
        _check_type,
        lambda header, expect, now: (
            f"typ = {_claim(header, 'typ')}, expected one of {sorted(typ or 'absent' for typ in expect.types)}"
        ),
    ),
)

CLAIM_CHECKS = (
    Check(
        "issuer",
        _check_issuer,
        lambda claims, expect, now: f"iss = {_claim(claims, 'iss')}, expected {expect.issuer!r}",
    ),
    Check(
        "audience",
        _check_audience,
        lambda claims, expect, now: (
            f"aud = {_claim(claims, 'aud')}, expected {'only' if expect.strict_audience else 'one of'} "
            f"{sorted(expect.audiences) or 'anything'}"
        ),
    ),
    Check("expiry", _check_expiry, lambda claims, expect, now: _show_time(claims, "exp", expect, now)),
    Check("not_before", _check_begin("nbf"), lambda claims, expect, now: _show_time(claims, "nbf", expect, now)),
    Check("issued_at", _check_begin("iat"), lambda claims, expect, now: _show_time(claims, "iat", expect, now)),
    Check(
        "lifetime",
        _check_lifetime,
        lambda claims, expect, now: (
            f"from iat = {_claim(claims, 'iat')} to exp = {_claim(claims, 'exp')}, at most {expect.max_lifetime:g} s"
        ),
    ),
    Check("subject", _check_subject, lambda claims, expect, now: f"sub = {_claim(claims, 'sub')}"),
    Check("binding", _check_binding, lambda claims, expect, now: f"cnf = {_claim(claims, 'cnf')}, expected absent"),
    Check(
        "required_claims",
        _check_required,
        lambda claims, expect, now: (
            ", ".join(f"{name} = {_claim(claims, name)}" for name in expect.required_claims) or "none"
        ),
    ),
)
"""In order; none relies on another."""


def _time(claims: Claims, name: str) -> float:
    """Return a NumericDate (RFC 7519 §2). Raises MissingClaim; InvalidClaim if it is no plausible number of seconds."""
    if name not in claims:
        raise MissingClaim(f"{name} is missing")
    value: float = claims[name]
    if type(value) not in (int, float) or not 0 <= value <= LAST_SECOND:
        raise InvalidClaim(f"{name} is not a NumericDate")
    return value


def _show_time(claims: Claims, name: str, expect: Expectations, now: float) -> str:
    return f"{name} = {_claim(claims, name)}, now = {now:.0f}, leeway {expect.leeway:g} s"


def _claim(claims: Claims, name: str) -> str:
    return _short(claims[name]) if name in claims else "absent"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "..."
