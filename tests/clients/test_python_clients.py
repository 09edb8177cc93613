"""Authlib and requests-oauthlib, as they are, at a gateway over TLS."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from oauthlib.oauth2 import InvalidClientError, InvalidGrantError, InvalidScopeError, TemporarilyUnavailableError
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as OauthlibSession

from tests.clients import processes
from tests.clients.conftest import Issuer
from tests.clients.processes import AUDIENCE, PASSWORD, SCOPE, SECRET

Tokens = dict[str, Any]
AUTHLIB_METHODS = [("web", "none"), ("svc", "client_secret_basic"), ("svc", "client_secret_post")]


def log_in(issuer: Issuer, client_id: str) -> Tokens:
    """Log alice in with a plain request, as an application does."""
    body = {"username": "alice", "password": PASSWORD, "client_id": client_id}
    secret = {} if client_id == "web" else {"client_secret": SECRET}
    answer = requests.post(f"{issuer.url}/auth/login", json=body | secret, verify=issuer.ca, timeout=30)
    assert answer.status_code == 200, answer.text
    tokens: Tokens = answer.json()
    return tokens


def opened(issuer: Issuer, client_id: str = "web") -> Tokens:
    return processes.opened(issuer.url, issuer.ca, client_id=client_id)


def status_of(issuer: Issuer, access_token: str, path: str = "/api/x") -> int:
    headers = {"Authorization": f"Bearer {access_token}"}
    return requests.get(issuer.url + path, headers=headers, verify=issuer.ca, timeout=30).status_code


@pytest.fixture
def metadata(issuer: Issuer) -> AuthorizationServerMetadata:
    url = get_well_known_url(issuer.url, external=True)
    return AuthorizationServerMetadata(requests.get(url, verify=issuer.ca, timeout=30).json())


@pytest.fixture
def authlib(issuer: Issuer, metadata: AuthorizationServerMetadata) -> Iterator[Callable[..., AuthlibSession]]:
    """Makes a session of Authlib, for a client and its tokens."""
    made: list[AuthlibSession] = []

    def make(client_id: str = "web", method: str = "none", **options: Any) -> AuthlibSession:
        secret = None if method == "none" else SECRET
        endpoint = metadata["token_endpoint"]
        session = AuthlibSession(
            client_id, secret, token_endpoint_auth_method=method, token_endpoint=endpoint, **options
        )
        session.verify, session.trust_env = issuer.ca, False
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


@pytest.fixture
def oauthlib(issuer: Issuer) -> Iterator[Callable[..., OauthlibSession]]:
    """Makes a session of requests-oauthlib."""
    made: list[OauthlibSession] = []

    def make(client_id: str = "web", **options: Any) -> OauthlibSession:
        session = OauthlibSession(client_id, **options)
        session.verify, session.trust_env = issuer.ca, False
        made.append(session)
        return session

    yield make
    for session in made:
        session.close()


# --- metadata


def test_authlib_finds_the_metadata_of_the_issuer_and_nothing_wrong_in_them(
    issuer: Issuer, metadata: AuthorizationServerMetadata
) -> None:
    """C145"""
    metadata.validate()
    assert metadata["issuer"] == issuer.url
    assert metadata["grant_types_supported"] == ["refresh_token"]
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri"):
        assert metadata[name].startswith(f"{issuer.url}/")


# --- Authlib


@pytest.mark.parametrize(("client_id", "method"), AUTHLIB_METHODS)
def test_authlib_refreshes_and_the_new_pair_is_good(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], client_id: str, method: str
) -> None:
    old = log_in(issuer, client_id)
    updates: list[tuple[Tokens, str]] = []
    session = authlib(
        client_id, method, token=old, update_token=lambda token, refresh_token: updates.append((token, refresh_token))
    )
    new = session.refresh_token()
    assert new["refresh_token"] != old["refresh_token"]
    assert new["access_token"] != old["access_token"]
    assert new["scope"] == SCOPE
    assert 0 < new["expires_in"] <= 600
    assert updates == [(new, old["refresh_token"])]
    answer = session.get(f"{issuer.url}/api/x")
    assert answer.status_code == 200
    assert answer.json()["x-user"] == "alice"


@pytest.mark.parametrize(("client_id", "method"), AUTHLIB_METHODS)
def test_authlib_gets_the_same_pair_for_the_same_refresh_token(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], client_id: str, method: str
) -> None:
    old = opened(issuer, client_id)
    session = authlib(client_id, method, token=old)
    pairs = [session.refresh_token(refresh_token=old["refresh_token"]) for _ in range(3)]
    assert len({(each["access_token"], each["refresh_token"]) for each in pairs}) == 1


@pytest.mark.parametrize(("client_id", "method"), AUTHLIB_METHODS)
def test_authlib_refreshes_by_itself_when_the_access_token_has_expired(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], client_id: str, method: str
) -> None:
    old = {**opened(issuer, client_id), "expires_at": int(time.time()) - 1}
    session = authlib(client_id, method, token=old)
    assert session.get(f"{issuer.url}/api/x").status_code == 200
    assert session.token["refresh_token"] != old["refresh_token"]


@pytest.mark.parametrize(("client_id", "method"), AUTHLIB_METHODS)
def test_authlib_revokes_a_refresh_token_and_both_tokens_are_dead(
    issuer: Issuer,
    authlib: Callable[..., AuthlibSession],
    metadata: AuthorizationServerMetadata,
    client_id: str,
    method: str,
) -> None:
    session = authlib(client_id, method, token=opened(issuer, client_id))
    access_token = session.token["access_token"]
    assert status_of(issuer, access_token) == 200
    answer = session.revoke_token(metadata["revocation_endpoint"], token_type_hint="refresh_token")
    assert (answer.status_code, answer.content) == (200, b"")
    assert status_of(issuer, access_token) == 401
    with pytest.raises(OAuthError) as refusal:
        session.refresh_token()
    assert refusal.value.error == "invalid_grant"


def test_authlib_revokes_an_access_token_and_the_session_goes_on(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], metadata: AuthorizationServerMetadata
) -> None:
    session = authlib(token=opened(issuer))
    old = session.token["access_token"]
    answer = session.revoke_token(metadata["revocation_endpoint"], token=old, token_type_hint="access_token")
    assert answer.status_code == 200
    assert status_of(issuer, old) == 401
    assert status_of(issuer, session.refresh_token()["access_token"]) == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_authlib_introspects_tokens_until_they_are_revoked(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], metadata: AuthorizationServerMetadata, method: str
) -> None:
    session = authlib("svc", method, token=opened(issuer, "svc"))
    endpoint = metadata["introspection_endpoint"]
    for name in ("access_token", "refresh_token"):
        about = session.introspect_token(endpoint, token=session.token[name], token_type_hint=name).json()
        assert about["active"] is True
        assert (about["sub"], about["client_id"], about["scope"], about["iss"]) == ("alice", "svc", SCOPE, issuer.url)
    session.revoke_token(metadata["revocation_endpoint"])
    for name in ("access_token", "refresh_token"):
        assert session.introspect_token(endpoint, token=session.token[name]).json() == {"active": False}


def test_a_resource_server_introspects_with_authlib(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], metadata: AuthorizationServerMetadata
) -> None:
    token = opened(issuer)["access_token"]
    about = authlib("api", "client_secret_basic").introspect_token(metadata["introspection_endpoint"], token=token)
    assert (about.json()["active"], about.json()["aud"]) == (True, AUDIENCE)


def test_authlib_narrows_the_scope_of_the_access_token_and_gets_it_back(
    issuer: Issuer, authlib: Callable[..., AuthlibSession]
) -> None:
    session = authlib(token=opened(issuer))
    narrow = session.refresh_token(scope="orders:read")
    assert narrow["scope"] == "orders:read"
    assert status_of(issuer, narrow["access_token"]) == 200
    assert status_of(issuer, narrow["access_token"], "/orders/1") == 403
    wide = session.refresh_token()
    assert wide["scope"] == SCOPE
    assert status_of(issuer, wide["access_token"], "/orders/1") == 200
    with pytest.raises(OAuthError) as refusal:
        session.refresh_token(scope="orders:delete")
    assert refusal.value.error == "invalid_scope"
    assert session.refresh_token()["scope"] == SCOPE


def test_authlib_says_which_client_was_refused(issuer: Issuer, authlib: Callable[..., AuthlibSession]) -> None:
    session = authlib("svc", "client_secret_basic", token=opened(issuer, "svc"))
    session.client_secret = "not the secret"
    with pytest.raises(OAuthError) as refusal:
        session.refresh_token()
    assert refusal.value.error == "invalid_client"
    session.client_secret = SECRET
    assert session.refresh_token()


def test_authlib_keeps_its_tokens_while_the_store_is_away(
    issuer: Issuer, authlib: Callable[..., AuthlibSession], request: pytest.FixtureRequest
) -> None:
    """C100"""
    old = opened(issuer)
    session = authlib(token=old)
    come_back = request.getfixturevalue("no_store")
    with pytest.raises(requests.HTTPError) as failure:
        session.refresh_token()
    answer = failure.value.response
    assert answer is not None
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert session.token["refresh_token"] == old["refresh_token"]
    come_back()
    assert session.refresh_token()["refresh_token"] != old["refresh_token"]


# --- requests-oauthlib


@pytest.mark.parametrize("transport", ["none", "basic", "body"])
def test_requests_oauthlib_refreshes_and_repeats(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession], transport: str
) -> None:
    client_id = "web" if transport == "none" else "svc"
    old = opened(issuer, client_id)
    session = oauthlib(client_id, token=old)
    proofs: dict[str, dict[str, Any]] = {
        "none": {"client_id": "web"},
        "basic": {"auth": HTTPBasicAuth("svc", quote_plus(SECRET))},
        "body": {"client_id": "svc", "client_secret": SECRET},
    }
    proof = proofs[transport]
    url = f"{issuer.url}/oauth/token"
    first = dict(session.refresh_token(url, **proof))
    assert session.get(f"{issuer.url}/api/x").json()["x-user"] == "alice"
    again = session.refresh_token(url, refresh_token=old["refresh_token"], **proof)
    assert (again["access_token"], again["refresh_token"]) == (first["access_token"], first["refresh_token"])
    assert first["refresh_token"] != old["refresh_token"]


def test_requests_oauthlib_refreshes_by_itself_when_the_access_token_has_expired(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession]
) -> None:
    old = {**opened(issuer), "expires_in": -1}
    updates: list[Tokens] = []
    session = oauthlib(
        token=old,
        auto_refresh_url=f"{issuer.url}/oauth/token",
        auto_refresh_kwargs={"client_id": "web"},
        token_updater=updates.append,
    )
    assert session.get(f"{issuer.url}/api/x", verify=issuer.ca).status_code == 200
    [new] = updates
    assert new["refresh_token"] != old["refresh_token"]


def test_requests_oauthlib_revokes_and_is_told_that_the_grant_is_over(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession]
) -> None:
    tokens = opened(issuer)
    session = oauthlib(token=tokens)
    url, headers, body = session._client.prepare_token_revocation_request(
        f"{issuer.url}/oauth/revoke", tokens["refresh_token"], "refresh_token", client_id="web"
    )
    assert session.post(url, data=body, headers=headers, withhold_token=True).status_code == 200
    assert session.get(f"{issuer.url}/api/x").status_code == 401
    with pytest.raises(InvalidGrantError):
        session.refresh_token(f"{issuer.url}/oauth/token", client_id="web")


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"client_id": "nobody"}, InvalidClientError),
        ({"client_id": "svc", "client_secret": SECRET}, InvalidGrantError),
        ({"client_id": "web", "refresh_token": "rt1.junk"}, InvalidGrantError),
    ],
    ids=["an unknown client", "the token of another client", "junk"],
)
def test_requests_oauthlib_tells_refusals_apart(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession], parameters: dict[str, str], error: type[Exception]
) -> None:
    session = oauthlib(token=opened(issuer))
    with pytest.raises(error):
        session.refresh_token(f"{issuer.url}/oauth/token", **parameters)
    assert session.refresh_token(f"{issuer.url}/oauth/token", client_id="web")


def test_requests_oauthlib_is_refused_more_scope_and_loses_nothing(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession]
) -> None:
    session = oauthlib(token=opened(issuer))
    with pytest.raises(InvalidScopeError):
        session.refresh_token(f"{issuer.url}/oauth/token", client_id="web", body="scope=orders:delete")
    narrow = session.refresh_token(f"{issuer.url}/oauth/token", client_id="web", body="scope=orders:read")
    assert narrow["scope"] == ["orders:read"]


def test_requests_oauthlib_keeps_its_tokens_while_the_store_is_away(
    issuer: Issuer, oauthlib: Callable[..., OauthlibSession], request: pytest.FixtureRequest
) -> None:
    """C100"""
    old = opened(issuer)
    session = oauthlib(token=old)
    come_back = request.getfixturevalue("no_store")
    with pytest.raises(TemporarilyUnavailableError):
        session.refresh_token(f"{issuer.url}/oauth/token", client_id="web")
    assert session.token["refresh_token"] == old["refresh_token"]
    come_back()
    assert session.refresh_token(f"{issuer.url}/oauth/token", client_id="web")
