import json
import re

import pytest

from gateway.model.errors import (
    BadSignature,
    CrossSiteRequest,
    ExpiredToken,
    InsufficientAuthentication,
    InsufficientScope,
    KeysUnavailable,
    MalformedCredentials,
    MissingCredentials,
    NoRoute,
    Refusal,
    RequirementNotMet,
    UpstreamSaturated,
)
from gateway.model.faces import Challenge, face
from tests.model.test_errors import CONCRETE, example

GW = Challenge("gw")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (MissingCredentials("log"), 'Bearer realm="gw"'),
        (
            ExpiredToken("log"),
            'Bearer realm="gw", error="invalid_token", error_description="The access token expired"',
        ),
        (
            MalformedCredentials("log"),
            'Bearer realm="gw", error="invalid_request", error_description="The request is malformed"',
        ),
        (
            InsufficientScope("log", scope=("orders:read", "orders:write")),
            'Bearer realm="gw", error="insufficient_scope", '
            'error_description="The access token lacks a required scope", scope="orders:read orders:write"',
        ),
        (
            InsufficientScope("log"),
            'Bearer realm="gw", error="insufficient_scope", '
            'error_description="The access token lacks a required scope"',
        ),
        (
            RequirementNotMet("log"),
            'Bearer realm="gw", error="insufficient_scope", '
            'error_description="The access token lacks a required privilege"',
        ),
        (
            InsufficientAuthentication("log", acr_values=("mfa", "hwk")),
            'Bearer realm="gw", error="insufficient_user_authentication", '
            'error_description="A stronger or more recent authentication is required", acr_values="mfa hwk"',
        ),
        (
            InsufficientAuthentication("log", max_age=0),
            'Bearer realm="gw", error="insufficient_user_authentication", '
            'error_description="A stronger or more recent authentication is required", max_age="0"',
        ),
    ],
)
def test_the_challenge_says_what_a_client_can_act_on(refusal: Refusal, expected: str) -> None:
    """C1, C5, C13, C16, C30, C31."""
    assert GW.header(refusal) == expected
    assert ("WWW-Authenticate", expected) in face(refusal, GW, "r-1").headers


def test_the_challenge_names_the_resource_metadata() -> None:
    """C149, RFC 9728 §5.1."""
    challenge = Challenge("gw", "https://gw.example/.well-known/oauth-protected-resource")
    assert challenge.header(MissingCredentials("log")) == (
        'Bearer realm="gw", resource_metadata="https://gw.example/.well-known/oauth-protected-resource"'
    )


@pytest.mark.parametrize("refusal", CONCRETE)
def test_each_attribute_of_a_challenge_comes_once(refusal: type[Refusal]) -> None:
    """C20."""
    header = Challenge("gw", "https://gw.example/meta").header(example(refusal, "log"))
    names = re.findall(r'[ ,]([a-z_]+)="[^"\\]*"', header)
    assert len(names) == len(set(names))


def test_the_body_is_json_with_the_request_id() -> None:
    seen = face(NoRoute("log"), GW, "r-1")
    assert seen.status == 404
    assert json.loads(seen.body) == {
        "error": "not_found",
        "error_description": "Nothing is served here",
        "request_id": "r-1",
    }
    assert seen.headers == (("Content-Type", "application/json"), ("Cache-Control", "no-store"))


@pytest.mark.parametrize(("refusal", "seconds"), [(KeysUnavailable("log"), "5"), (UpstreamSaturated("log"), "1")])
def test_an_outage_says_when_to_retry_and_never_challenges(refusal: Refusal, seconds: str) -> None:
    """C28."""
    seen = face(refusal, GW, "r-1")
    assert (seen.status, dict(seen.headers)["Retry-After"]) == (503, seconds)
    assert "WWW-Authenticate" not in dict(seen.headers)


def test_a_cross_site_request_is_not_told_to_log_in() -> None:
    assert "WWW-Authenticate" not in dict(face(CrossSiteRequest("log"), GW, "r-1").headers)


@pytest.mark.parametrize("refusal", CONCRETE)
def test_nothing_of_the_message_leaks(refusal: type[Refusal]) -> None:
    seen = face(example(refusal, "very secret"), GW, "r-1")
    assert b"secret" not in seen.body
    assert "secret" not in str(seen.headers)


def test_faces_of_bad_tokens_are_the_same() -> None:
    assert face(BadSignature("log"), GW, "r") == face(type("Other", (BadSignature,), {})("log"), GW, "r")
