"""What else must hold: the members of a route's `require` list. All of them must hold."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from gateway.model.errors import InsufficientAuthentication, InsufficientScope, Refusal, RequirementNotMet
from gateway.model.principal import ClaimPath, Principal, PrincipalType, claim_at
from gateway.model.settings import ClaimPathSetting, Seconds, Settings

Scope = Annotated[str, Field(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""RFC 6749 §3.3."""

Scalar = str | int | float | bool


class RequireScopes(Settings):
    """The token's `scope` (or `scp`) holds these scopes, compared exactly."""

    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    """The scopes."""
    match: Literal["all", "any"] = "all"
    """Whether all of them are required, or any one."""

    @property
    def words(self) -> str:
        return f"{'scope' if self.match == 'all' else 'any scope of'} {' '.join(self.scopes)}"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return ()

    def check(self, principal: Principal, now: float) -> None:
        held = principal.scopes
        if not (held.issuperset(self.scopes) if self.match == "all" else not held.isdisjoint(self.scopes)):
            missing = ", ".join(scope for scope in self.scopes if scope not in held)
            raise InsufficientScope(f"requires {self.match} of its scopes; missing: {missing}", scope=self.scopes)


def _same(claim: Any, wanted: Scalar) -> bool:
    """Compare as JSON does: 1 equals 1.0, but neither true nor "1"."""
    numbers = isinstance(claim, int | float) and isinstance(wanted, int | float)
    booleans = isinstance(claim, bool), isinstance(wanted, bool)
    return bool(claim == wanted) and booleans[0] == booleans[1] and (numbers or type(claim) is type(wanted))


class RequireClaim(Settings):
    """A claim has a certain value. Exactly one of `equals`, `one_of`, `contains`, `exists`."""

    claim: ClaimPathSetting
    """The claim: `department`, `realm_access.roles`, or a list of names where a name contains a dot."""
    equals: Scalar | None = None
    """The claim is exactly this value, of the same JSON type."""
    one_of: tuple[Scalar, ...] | None = None
    """The claim is exactly one of these values."""
    contains: Scalar | None = None
    """The claim is a list with this member, or a space-separated string with this word."""
    exists: bool | None = None
    """The claim is present and not null (true), or absent (false)."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("equals", "one_of", "contains", "exists") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of equals, one_of, contains, exists")
        return self

    @property
    def words(self) -> str:
        name = ".".join(self.claim)
        if self.exists is not None:
            return f"{name} {'present' if self.exists else 'absent'}"
        if self.one_of is not None:
            return f"{name} in {', '.join(map(str, self.one_of))}"
        return f"{name} = {self.equals}" if self.equals is not None else f"{name} contains {self.contains}"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return (self.claim,)

    def check(self, principal: Principal, now: float) -> None:
        found = claim_at(principal.claims, self.claim)
        if not self._holds(found):
            raise RequirementNotMet(f"claim {'.'.join(self.claim)} is {_described(found)}; {self._wanted()}")

    def _holds(self, found: Any) -> bool:
        if self.exists is not None:
            return (found is not None) == self.exists
        if self.equals is not None:
            return _same(found, self.equals)
        if self.one_of is not None:
            return any(_same(found, wanted) for wanted in self.one_of)
        assert self.contains is not None
        members = found.split(" ") if isinstance(found, str) else found
        return isinstance(members, list) and any(_same(member, self.contains) for member in members)

    def _wanted(self) -> str:
        if self.exists is not None:
            return "must be present" if self.exists else "must be absent"
        if self.equals is not None:
            return f"must equal {_shown(self.equals)}"
        if self.one_of is not None:
            return f"must be one of {_shown(list(self.one_of))}"
        return f"must contain {_shown(self.contains)}"


def _shown(setting: Any) -> str:
    return json.dumps(setting)


def _described(claim: Any) -> str:
    """Return what kind of value a claim has; the value itself is nobody's business in a log."""
    kinds = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return "absent" if claim is None else kinds.get(type(claim), "an object")


class RequirePrincipal(Settings):
    """The caller is a user, or a client acting for itself (RFC 9700 §4.15)."""

    principal: PrincipalType
    """`user` or `client`."""

    @property
    def words(self) -> str:
        return f"a {self.principal}"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return ()

    def check(self, principal: Principal, now: float) -> None:
        if principal.type != self.principal:
            raise RequirementNotMet(f"the caller is a {principal.type}; must be a {self.principal}")


class RequireAuthentication(Settings):
    """How, and how recently, the caller authenticated (RFC 9470)."""

    acr: Annotated[tuple[Scope, ...], Field(min_length=1)] | None = None
    """The token's `acr` is one of these."""
    max_age: Seconds | None = None
    """The token's `auth_time` is at most this long ago."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.acr is None and self.max_age is None:
            raise ValueError("needs acr, max_age or both")
        return self

    @property
    def words(self) -> str:
        acr = None if self.acr is None else f"acr in {', '.join(self.acr)}"
        age = None if self.max_age is None else f"authenticated in the last {self.max_age:g} s"
        return ", ".join(filter(None, (acr, age)))

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return (("acr",),) * (self.acr is not None) + (("auth_time",),) * (self.max_age is not None)

    def check(self, principal: Principal, now: float) -> None:
        acr = principal.claims.get("acr")
        if self.acr is not None and acr not in self.acr:
            raise self._refusal(f"acr is {_described(acr)}; must be one of {_shown(list(self.acr))}")
        if self.max_age is not None:
            auth_time = principal.claims.get("auth_time")
            if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
                raise self._refusal(f"auth_time is {_described(auth_time)}; must be a time")
            if now - auth_time > self.max_age:
                raise self._refusal(
                    f"authenticated {now - auth_time:.0f} s ago; at most {self.max_age:.0f} s are allowed"
                )

    def _refusal(self, message: str) -> InsufficientAuthentication:
        max_age = None if self.max_age is None else int(self.max_age)
        return InsufficientAuthentication(message, acr_values=self.acr or (), max_age=max_age)


class RequireAny(Settings):
    """At least one of several policies holds."""

    any: Annotated[tuple["PolicySettings", ...], Field(min_length=1)]
    """The policies. When none holds, the caller is told what the first one requires."""

    @property
    def words(self) -> str:
        return f"({' or '.join(policy.words for policy in self.any)})"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return tuple(claim for policy in self.any for claim in policy.claims)

    def check(self, principal: Principal, now: float) -> None:
        refusals = []
        for policy in self.any:
            try:
                return policy.check(principal, now)
            except Refusal as refusal:
                refusals.append(refusal)
        raise refusals[0]


class RequireAll(Settings):
    """All of several policies hold: for use below `any` and `not`."""

    all: Annotated[tuple["PolicySettings", ...], Field(min_length=1)]
    """The policies."""

    @property
    def words(self) -> str:
        return f"({' and '.join(policy.words for policy in self.all)})"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return tuple(claim for policy in self.all for claim in policy.claims)

    def check(self, principal: Principal, now: float) -> None:
        for policy in self.all:
            policy.check(principal, now)


class RequireNot(Settings):
    """A policy does not hold."""

    not_: Annotated["PolicySettings", Field(alias="not")]
    """The policy."""

    @property
    def words(self) -> str:
        return f"not ({self.not_.words})"

    @property
    def claims(self) -> tuple[ClaimPath, ...]:
        return self.not_.claims

    def check(self, principal: Principal, now: float) -> None:
        try:
            self.not_.check(principal, now)
        except Refusal:
            return
        raise RequirementNotMet(f"must not hold: {self.not_.words}")


_KINDS = {
    "scopes": "scopes",
    "claim": "claim",
    "principal": "principal",
    "acr": "authentication",
    "max_age": "authentication",
    "any": "any",
    "all": "all",
    "not": "not",
}


def _kind(value: object) -> str | None:
    if isinstance(value, Mapping):
        return next((kind for key, kind in _KINDS.items() if key in value), None)
    return _KIND_OF.get(type(value))


PolicySettings = Annotated[
    Annotated[RequireScopes, Tag("scopes")]
    | Annotated[RequireClaim, Tag("claim")]
    | Annotated[RequirePrincipal, Tag("principal")]
    | Annotated[RequireAuthentication, Tag("authentication")]
    | Annotated[RequireAny, Tag("any")]
    | Annotated[RequireAll, Tag("all")]
    | Annotated[RequireNot, Tag("not")],
    Discriminator(
        _kind,
        custom_error_type="unknown_policy",
        custom_error_message="must have one of the keys scopes, claim, principal, acr, max_age, any, all, not",
    ),
]
"""Every policy there is."""

_KIND_OF: dict[type, str] = {
    RequireScopes: "scopes",
    RequireClaim: "claim",
    RequirePrincipal: "principal",
    RequireAuthentication: "authentication",
    RequireAny: "any",
    RequireAll: "all",
    RequireNot: "not",
}

RequireAny.model_rebuild()
RequireAll.model_rebuild()
RequireNot.model_rebuild()
