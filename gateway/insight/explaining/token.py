"""Each step of `verify_jwt`, with the values that it looks at.

The checks are those of the tables that `verify_jwt` goes through. Unlike it, this does not stop at the first that
fails, as a person wants to know all of them; but it looks for no key where `verify_jwt` would not.
"""

from collections.abc import Mapping
from typing import Any

from gateway.engine.gatekeeper import UNDECIDED
from gateway.insight.configuration import without_credentials
from gateway.insight.explaining.steps import Section, Step, Steps, in_words
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import KEY_SETTINGS, JwtAuthenticator
from gateway.model.decision import Pending
from gateway.model.errors import Refusal, Unavailable, UnknownKey
from gateway.model.moments import distance, moment
from gateway.tokens.jose import Jws, read_jws
from gateway.tokens.keys import Key, KeySet
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.remote_keys import RemoteKeys
from gateway.tokens.verify import CLAIM_CHECKS, HEADER_CHECKS, Check, signing_key

_TIMES = {"expiry": "exp", "not_before": "nbf", "issued_at": "iat"}
"""Checks that look at one point in time, and the claim that holds it."""


class TokenSteps:
    """Tries a token on one authenticator. `failures` are in the order in which `verify_jwt` would meet them."""

    def __init__(
        self, authenticator: JwtAuthenticator, settings: AuthenticatorSettings, now: float, steps: Steps
    ) -> None:
        self.failures: list[Refusal] = []
        self._authenticator = authenticator
        self._name = authenticator.name
        self._settings = settings
        self._now = now
        self._steps = steps

    def take(self, token: str) -> None:
        """Note every step."""
        try:
            jws = self._steps.attempt("signature", "form", lambda: read_jws(token), _shown_jws, self._name)
        except Refusal as refusal:
            self.failures.append(refusal)
            return
        for check in HEADER_CHECKS:
            self._check("signature", check, jws.header)
        if self.failures:
            self._steps.note("signature", "key", "not looked for, because of the header", self._name)
        else:
            self._find_key(jws)
        if self.failures:
            self._steps.note("claims", "unproven", "anybody may have written these claims", self._name)
        for check in CLAIM_CHECKS:
            self._check("claims", check, jws.payload)

    def _check(self, section: Section, check: Check, values: Mapping[str, Any]) -> None:
        expect = self._authenticator.expect
        detail = check.shows(values, expect, self._now) + self._time(check, values)
        try:
            check.check(values, expect, self._now)
        except Refusal as refusal:
            self.failures.append(refusal)
            self._steps.append(Step(section, check.name, "no", f"{detail} -> {in_words(refusal)}", self._name))
        else:
            self._steps.append(Step(section, check.name, "ok", detail, self._name))

    def _time(self, check: Check, values: Mapping[str, Any]) -> str:
        value = values.get(_TIMES.get(check.name, ""))
        if not isinstance(value, int | float):
            return ""
        return f" ({moment(value)}, {distance(value, self._now)})"

    def _find_key(self, jws: Jws) -> None:
        keys, origin = self._authenticator.keys, key_origin(self._settings)
        try:
            candidates = self._steps.attempt(
                "signature",
                "key",
                lambda: _decided(keys.lookup(jws.kid, jws.alg, self._now)),
                lambda found: f"{len(found)} fits kid {jws.kid!r} and alg {jws.alg}, from {origin}",
                self._name,
            )
            self._steps.attempt(
                "signature", "signature", lambda: signing_key(jws, candidates), _shown_signer, self._name
            )
        except Refusal as refusal:
            self.failures.append(refusal)
            if isinstance(refusal, UnknownKey) and isinstance(keys, KeySet | RemoteKeys | OwnKeys):
                known = ", ".join(_shown_key(key) for key in keys.keys) or "none"
                self._steps.note(
                    "signature", "known keys", f"{known}, from {origin}; asked for: kid {jws.kid!r}", self._name
                )


def key_origin(settings: AuthenticatorSettings) -> str:
    """Return where an authenticator has its keys from."""
    if isinstance(settings, IssuedSettings):
        return "the gateway's own key file"
    if settings.discovery:
        return f"the metadata of {settings.issuer}"
    [name] = [name for name in KEY_SETTINGS if getattr(settings, name)]
    return f"{name} {without_credentials(str(getattr(settings, name)).partition('?')[0])}"


def _decided(candidates: tuple[Key, ...] | Pending) -> tuple[Key, ...]:
    if isinstance(candidates, Pending):
        raise Unavailable(UNDECIDED)
    return candidates


def _shown_jws(jws: Jws) -> str:
    header = {name: jws.header.get(name, "absent") for name in ("alg", "kid", "typ")}
    return "a signed JWT: " + ", ".join(f"{name} {value!r}" for name, value in header.items())


def _shown_key(key: Key) -> str:
    return f"kid {key.kid!r} ({', '.join(sorted(key.algorithms))})"


def _shown_signer(key: Key) -> str:
    """The thumbprint of an HMAC key stays secret: it would help to guess the key."""
    thumbprint = "" if key.kty == "oct" else f", thumbprint {key.thumbprint}"
    return f"made by the {key.kty} key with kid {key.kid!r}{thumbprint}"
