import pytest
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from pytest_aiohttp.plugin import AiohttpClient

from gateway.endpoints.app import endpoints_application
from gateway.tokens.signing import public_jwk, signing_key
from tests.endpoints.conftest import Start
from tests.endpoints.running import ISSUER, Running
from tests.minting import make_key

RESOURCE = {"identifier": "https://api.example", "scopes_supported": ["orders:read"], "name": "Orders"}


async def test_the_issuer_tells_where_its_endpoints_are(running: Running) -> None:
    """C145"""
    response = await running.http.get("/.well-known/oauth-authorization-server")
    assert (response.status, response.content_type) == (200, "application/json")
    document = await response.json()
    assert document == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/oauth/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "scopes_supported": ["orders:read", "orders:write"],
        "response_types_supported": ["none"],
        "grant_types_supported": ["refresh_token"],
        "revocation_endpoint": f"{ISSUER}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint": f"{ISSUER}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    AuthorizationServerMetadata(document).validate()


async def test_what_is_switched_off_or_empty_is_left_out(start: Start) -> None:
    """C145"""
    running = await start(
        clients={"web": {"type": "public"}}, scope="", endpoints={"introspect": None, "revoke": None, "jwks": None}
    )
    document = await (await running.http.get("/.well-known/oauth-authorization-server")).json()
    assert set(document) == {
        "issuer",
        "token_endpoint",
        "token_endpoint_auth_methods_supported",
        "response_types_supported",
        "grant_types_supported",
    }
    for path in ("/oauth/introspect", "/oauth/revoke"):
        assert (await running.post(path, {"token": "x"})).status == 404
    assert (await running.http.get("/.well-known/jwks.json")).status == 404


async def test_the_path_of_an_issuer_goes_behind_the_well_known_part(start: Start) -> None:
    """C146"""
    running = await start(issuer="https://gw.example/t1")
    response = await running.http.get("/.well-known/oauth-authorization-server/t1")
    document = await response.json()
    assert document["issuer"] == "https://gw.example/t1"
    assert document["token_endpoint"] == "https://gw.example/oauth/token"
    assert (await running.http.get("/.well-known/oauth-authorization-server")).status == 404


async def test_the_resource_tells_who_issues_its_tokens(start: Start) -> None:
    """C147"""
    running = await start(resource=RESOURCE)
    response = await running.http.get("/.well-known/oauth-protected-resource")
    assert await response.json() == {
        "resource": "https://api.example",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["orders:read"],
        "resource_name": "Orders",
    }


@pytest.mark.parametrize("identifier", ["https://api.example/api", "https://api.example/api/"])
async def test_the_path_of_a_resource_goes_behind_the_well_known_part(start: Start, identifier: str) -> None:
    """C148"""
    running = await start(resource={"identifier": identifier})
    response = await running.http.get("/.well-known/oauth-protected-resource/api")
    assert (await response.json())["resource"] == identifier


async def test_the_key_set_holds_public_halves_only(running: Running) -> None:
    """C150"""
    response = await running.http.get("/.well-known/jwks.json")
    assert response.status == 200
    (key,) = (await response.json())["keys"]
    assert set(key) == {"kty", "crv", "x", "kid", "alg", "use"}
    assert (key["kid"], key["alg"], key["use"]) == ("a1", "EdDSA", "sig")


async def test_any_page_may_read_the_documents_and_keep_them(start: Start) -> None:
    """C151"""
    running = await start(resource=RESOURCE)
    for path in (
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-protected-resource",
    ):
        response = await running.http.get(path, headers={"Origin": "https://any.example"})
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Cache-Control"] == "public, max-age=300"
        assert (await running.http.head(path)).status == 200
        response = await running.http.post(path)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    response = await running.post("/oauth/token", {"x": "y"}, headers={"Origin": "https://any.example"})
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_metadata_can_be_switched_off(start: Start) -> None:
    running = await start(resource=RESOURCE, endpoints={"metadata": False})
    for name in ("oauth-authorization-server", "oauth-protected-resource"):
        assert (await running.http.get(f"/.well-known/{name}")).status == 404


async def test_the_identity_key_is_published_with_and_without_sessions(
    aiohttp_client: AiohttpClient, running: Running
) -> None:
    key = signing_key(make_key("EdDSA").private_pem())
    other = public_jwk(make_key("RS256").private_pem())
    for endpoints in (None, running.endpoints):
        client = await aiohttp_client(endpoints_application((key.jwk, other), "/.well-known/identity.json", endpoints))
        response = await client.get("/.well-known/identity.json")
        assert await response.json() == {"keys": [dict(key.jwk), dict(other)]}
        assert response.headers["Access-Control-Allow-Origin"] == "*"
