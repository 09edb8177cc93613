from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.session_clients import ClientSettings
from gateway.config.sessions import (
    OwnRoute,
    SessionsSettings,
    own_paths,
    public_clients,
    resource_metadata_url,
    rules,
)
from gateway.engine.session_rules import SessionRules

HASH = "sha256:" + "0" * 64
LEAST: dict[str, Any] = {
    "issuer": "https://gw.example",
    "audiences": ["https://api.example"],
    "key_file": "keys.json",
    "clients": {"web": {"type": "public"}},
}
CONFIDENTIAL = {"svc": {"type": "confidential", "secret_hashes": [HASH]}}
BACKEND = {"url": "https://backend.example/login", "subject": "id"}


def settings(**changes: Any) -> SessionsSettings:
    return SessionsSettings.model_validate({**deepcopy(LEAST), **changes})


def mistake(**changes: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    return str(caught.value)


def test_little_must_be_said() -> None:
    least = settings()
    assert rules(least) == SessionRules()
    assert public_clients(least) == {"web"}
    assert resource_metadata_url(least) is None


@pytest.mark.parametrize("name", ["issuer", "audiences", "key_file", "clients"])
def test_what_matters_for_security_has_no_default(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        SessionsSettings.model_validate({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(
    "issuer",
    [
        "gw.example",
        "https://",
        "https://gw.example?x=1",
        "https://gw.example?",
        "https://gw.example#f",
        "https://user:password@gw.example",
        "ftp://gw.example",
        "https://gw.example/a b",
        "HTTPS://gw.example",
        "https://gw.example:99999",
        "https://gw.example/a/../b",
        "https://gw.example/{x}",
        "",
    ],
)
def test_an_issuer_is_a_url_without_query_and_fragment(issuer: str) -> None:
    """C145"""
    assert "issuer" in mistake(issuer=issuer)


@pytest.mark.parametrize("issuer", ["https://gw.example", "https://gw.example/t1", "http://localhost:8080"])
def test_an_issuer_stays_as_it_is_written(issuer: str) -> None:
    assert settings(issuer=issuer).issuer == issuer


@pytest.mark.parametrize("audiences", [[], [""], "https://api.example"])
def test_there_is_an_audience(audiences: Any) -> None:
    assert "audiences" in mistake(audiences=audiences)


def test_public_clients_need_rotation() -> None:
    """C173"""
    assert 'public clients ("web") need refresh.rotate' in mistake(refresh={"rotate": False})
    settings(refresh={"rotate": False}, clients=CONFIDENTIAL)
    settings(refresh={"rotate": False}, clients={"web": {"type": "public", "grants": []}})


def test_binding_to_the_present_pair_needs_rotation() -> None:
    problem = mistake(binding="current", refresh={"rotate": False}, clients=CONFIDENTIAL)
    assert "binding: current needs refresh.rotate" in problem
    assert rules(settings(binding="current")).binding == "current"


def test_the_default_client_is_a_public_one() -> None:
    assert settings(default_client="web").default_client == "web"
    assert "is not one of clients" in mistake(default_client="phone")
    assert "must be a public client" in mistake(default_client="svc", clients=CONFIDENTIAL)


@pytest.mark.parametrize(
    ("client", "problem"),
    [
        ({"type": "confidential"}, "needs secret_hashes or secret_file"),
        ({"type": "public", "secret_hashes": [HASH]}, "a public client has no secret"),
        ({"type": "public", "secret_file": "x"}, "a public client has no secret"),
        ({"type": "public", "may": {"introspect": True}}, "so it may not introspect"),
        ({"type": "public", "may": {"open_sessions": True}}, "so it may not open_sessions"),
        ({"type": "public", "audiences": ["x"]}, "audiences are for a client that may introspect"),
        (
            {"type": "confidential", "secret_hashes": ["secret in the clear, of more than 32 characters"]},
            "is not sha256",
        ),
        ({"type": "confidential", "secret_hashes": ["sha256:ABC"]}, "is not sha256"),
        ({"type": "public", "scope": "a  b"}, "is not a scope"),
        ({"type": "public", "scope": "a a"}, "is not a scope"),
        ({"type": "public", "grants": ["password"]}, "refresh_token"),
        ({"type": "secret"}, "type"),
    ],
)
def test_contradictions_of_a_client_are_mistakes(client: dict[str, Any], problem: str) -> None:
    text = mistake(clients={"x": client})
    assert problem in text
    assert "in the clear" not in text


def test_hashes_of_secrets_show_in_no_repr() -> None:
    client = ClientSettings(type="confidential", secret_hashes=(HASH,))
    assert HASH not in repr(client)
    assert HASH not in repr(settings(clients={"svc": client.model_dump()}))


@pytest.mark.parametrize("name", ["a b", "", "ü", "-x", "x" * 65])
def test_a_client_id_can_be_a_label(name: str) -> None:
    assert "clients" in mistake(clients={name: {"type": "public"}})


def test_a_login_has_one_source() -> None:
    assert "exactly one of users, backend" in mistake(login={})
    assert "exactly one of users, backend" in mistake(login={"users": {"file": "x"}, "backend": BACKEND})
    settings(login={"backend": BACKEND})


def test_cookie_names_keep_their_promises() -> None:
    assert "different names" in mistake(cookies={"access": "x", "refresh": "x"})
    assert "__Host- has the path /" in mistake(cookies={"refresh": "__Host-refresh"})
    settings(cookies={"refresh": "__Host-refresh", "refresh_path": "/"})
    assert "origins" in mistake(cookies={"origins": ["https://app.example.com/path"]})


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoints": {"refresh": "/refresh"}},
        {"endpoints": {"logout": "/authx/logout"}},
        {"cookies": {"refresh_path": "/auth/refresh"}},
    ],
)
def test_the_refresh_cookie_must_reach_its_endpoints(changes: dict[str, Any]) -> None:
    """C116: refresh and logout share the prefix."""
    assert "never reaches" in mistake(answer={"login": "cookies"}, **changes)
    settings(**changes)
    settings(answer={"login": "cookies"}, endpoints={"refresh": "/refresh"}, cookies={"refresh_path": "/"})
    settings(answer={"login": "cookies"}, endpoints={"logout": None})


def test_without_its_cookie_the_refresh_token_stands_in_bodies_only() -> None:
    cookies = {"refresh_cookie": False}
    settings(answer={"login": "cookies"}, cookies=cookies, endpoints={"refresh": "/refresh"})
    assert "write answer: json" in mistake(cookies={"access_cookie": False, "refresh_cookie": False})
    assert "need cookies.refresh_cookie" in mistake(cookies=cookies, redirects=["/home"])
    assert "set cookies.refresh_cookie" in mistake(cookies=cookies, exchange={"access_token": "bound"})
    settings(cookies={**cookies, "access_cookie": True})


@pytest.mark.parametrize("path", ["auth", "/auth/**", "/auth/{x}", "/a/../b", "//auth", "/auth?x", "/a%2fb"])
def test_an_endpoint_has_a_plain_path(path: str) -> None:
    assert "endpoints" in mistake(endpoints={"token": path})


def test_endpoints_do_not_share_a_path() -> None:
    assert "token and revoke are both /x" in mistake(endpoints={"token": "/x", "revoke": "/x"})
    problem = mistake(endpoints={"jwks": "/.well-known/oauth-authorization-server"})
    assert "jwks and issuer_metadata are both" in problem


@pytest.mark.parametrize("target", ["javascript:alert(1)", "//evil.example", "home", "/\\evil.example", "", "ftp://x"])
def test_a_redirect_is_a_url_or_a_path_of_this_host(target: str) -> None:
    """C179"""
    assert "redirects" in mistake(redirects=[target])
    settings(redirects=["/", "/home?x=1", "https://app.example.com/"])


def test_a_resource_is_a_url_without_query_and_fragment() -> None:
    assert "resource" in mistake(resource={"identifier": "https://api.example?x"})
    assert "resource" in mistake(resource={"identifier": "api"})
    assert "resource" in mistake(resource={"identifier": "https://api.example/a//b"})


def test_own_paths_are_those_of_what_is_there() -> None:
    assert own_paths(settings()) == [
        OwnRoute("token", "/oauth/token", ("POST",)),
        OwnRoute("revoke", "/oauth/revoke", ("POST",)),
        OwnRoute("introspect", "/oauth/introspect", ("POST",)),
        OwnRoute("refresh", "/auth/refresh", ("POST",)),
        OwnRoute("logout", "/auth/logout", ("POST",)),
        OwnRoute("sessions", "/auth/sessions", ("POST",)),
        OwnRoute("jwks", "/.well-known/jwks.json", ("GET", "HEAD")),
        OwnRoute("issuer_metadata", "/.well-known/oauth-authorization-server", ("GET", "HEAD")),
    ]
    names = ("token", "revoke", "introspect", "login", "signup", "refresh", "logout", "sessions", "jwks")
    nothing = {**dict.fromkeys(names), "metadata": False}
    assert own_paths(settings(endpoints=nothing)) == []


def test_login_and_sign_up_are_there_where_somebody_can_do_it() -> None:
    paths = {route.id: route.path for route in own_paths(settings(login={"backend": BACKEND}, signup=BACKEND))}
    assert paths["login"] == "/auth/login"
    assert "signup" not in paths
    paths = {
        route.id: route.path for route in own_paths(settings(signup=BACKEND, endpoints={"signup": "/auth/signup"}))
    }
    assert paths["signup"] == "/auth/signup"
    assert "login" not in paths


@pytest.mark.parametrize(
    ("identifier", "path"),
    [
        ("https://x.example", ""),
        ("https://x.example/", ""),
        ("https://x.example/t1", "/t1"),
        ("https://x/a/b/", "/a/b"),
    ],
)
def test_metadata_stand_where_the_identifier_says(identifier: str, path: str) -> None:
    """C146, C148, C149"""
    both = settings(issuer=identifier, resource={"identifier": identifier})
    paths = {route.id: route.path for route in own_paths(both)}
    assert paths["issuer_metadata"] == f"/.well-known/oauth-authorization-server{path}"
    assert paths["resource_metadata"] == f"/.well-known/oauth-protected-resource{path}"
    origin = identifier[: identifier.index("/", 8)] if "/" in identifier[8:] else identifier
    assert resource_metadata_url(both) == origin + paths["resource_metadata"]
    off = settings(resource={"identifier": identifier}, endpoints={"metadata": False})
    assert resource_metadata_url(off) is None
