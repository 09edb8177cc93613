import re
from collections.abc import Iterator

import pytest

from gateway.model import errors
from gateway.model.errors import (
    CircuitOpen,
    Forbidden,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidCredentials,
    InvalidToken,
    KeysUnavailable,
    OriginNotAllowed,
    RateLimited,
    Refusal,
    StillValid,
    TooManyAttempts,
    TooManySessions,
    Unauthorized,
    Unavailable,
    WrongPassword,
)

ABSTRACT = (Refusal, Unauthorized, Forbidden)


def refusals(root: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    yield root
    for narrower in root.__subclasses__():
        yield from refusals(narrower)


CONCRETE = [refusal for refusal in refusals() if refusal not in ABSTRACT]


def example(refusal: type[Refusal], message: str) -> Refusal:
    """Return an instance, with whatever else it needs."""
    if issubclass(refusal, CircuitOpen | RateLimited | StillValid | TooManyAttempts):
        return refusal(message, retry_after=7)
    if issubclass(refusal, TooManySessions):
        return refusal(message, sessions=3)
    return refusal(message)


@pytest.mark.parametrize("refusal", CONCRETE)
def test_every_refusal_has_a_whole_face(refusal: type[Refusal]) -> None:
    assert refusal.status in range(400, 600)
    assert re.fullmatch(r"[a-z_]+", refusal.error)
    assert refusal.description


@pytest.mark.parametrize("refusal", CONCRETE)
def test_error_and_description_are_safe_in_a_quoted_string(refusal: type[Refusal]) -> None:
    """C20, RFC 6750 §3: %x20-21 / %x23-5B / %x5D-7E."""
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", refusal.error + refusal.description)


def test_reasons_are_distinct_names_in_snake_case() -> None:
    reasons = [refusal.reason for refusal in CONCRETE]
    assert len(set(reasons)) == len(reasons)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", reason) for reason in reasons)
    assert KeysUnavailable.reason == "keys_unavailable"


def test_every_refusal_is_listed_in_this_module() -> None:
    assert {refusal.__module__ for refusal in CONCRETE if not refusal.__module__.startswith("tests")} == {
        errors.__name__
    }


@pytest.mark.parametrize("refusal", [refusal for refusal in CONCRETE if issubclass(refusal, InvalidToken)])
def test_a_forger_learns_nothing_but_that_a_token_is_over(refusal: type[InvalidToken]) -> None:
    over = {
        "expired_token": "The access token expired",
        "revoked_token": "The access token was revoked",
        "refused_refresh_token": "The refresh token is invalid, expired or revoked",
    }
    expected = over.get(refusal.reason, "The access token is invalid")
    assert (refusal.status, refusal.error, refusal.description) == (401, "invalid_token", expected)


@pytest.mark.parametrize("refusal", CONCRETE)
def test_exactly_refusals_about_credentials_challenge(refusal: type[Refusal]) -> None:
    about_credentials = issubclass(refusal, Unauthorized | InvalidCredentials | WrongPassword)
    assert refusal.challenges == (about_credentials or refusal.error == "insufficient_scope")


@pytest.mark.parametrize("refusal", CONCRETE)
def test_what_cannot_be_known_is_never_the_callers_fault(refusal: type[Refusal]) -> None:
    assert issubclass(refusal, Unavailable) == (refusal.status == 503)
    assert not (issubclass(refusal, Unavailable) and refusal.challenges)


def test_a_refusal_may_say_what_would_be_enough() -> None:
    assert InsufficientScope("log", scope=("orders:read",)).scope == ("orders:read",)
    stronger = InsufficientAuthentication("log", acr_values=("mfa",), max_age=300)
    assert (str(stronger), stronger.acr_values, stronger.max_age) == ("log", ("mfa",), 300)
    assert InsufficientScope("log").scope == ()
    assert InsufficientAuthentication("log").max_age is None


def test_a_refused_origin_is_forbidden() -> None:
    assert issubclass(OriginNotAllowed, Forbidden)
    assert OriginNotAllowed.status == 403
