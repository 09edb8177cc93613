import pytest

from gateway.tokens.jose import read_jws
from tests.endpoints.running import AUDIENCE, ISSUER, SECRET, Running, basic, error_of
from tests.minting import NOW, make_key


async def asked(running: Running, token: str, client_id: str = "api") -> object:
    response = await running.post("/oauth/introspect", {"token": token}, headers=basic(client_id))
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"
    return await response.json()


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {}),
        ({}, {"client_id": "api"}),
        ({}, {"client_id": "web"}),
        ({}, {"client_id": "nobody", "client_secret": SECRET}),
        ({}, {"client_id": "api", "client_secret": "wrong"}),
        (basic("api", "wrong"), {}),
        (basic("nobody"), {}),
        (basic("web"), {}),
        (basic("web", ""), {}),
        ({"Authorization": "Basic %%%"}, {}),
        ({"Authorization": "Basic YXBp"}, {}),
        ({"Authorization": "Bearer x"}, {}),
    ],
)
async def test_whoever_asks_must_prove_who_it_is(
    running: Running, headers: dict[str, str], form: dict[str, str]
) -> None:
    """C136: the answer is the same for a good token and for none."""
    pair = await running.logged_in()
    answers = [
        await running.post("/oauth/introspect", {"token": token, **form}, headers=headers)
        for token in (pair["access_token"], "garbage")
    ]
    assert [answer.status for answer in answers] == [401, 401]
    assert await error_of(answers[0]) == "invalid_client"
    assert await answers[0].text() == await answers[1].text()
    assert answers[0].headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_client_that_may_not_introspect_is_told_so(running: Running) -> None:
    response = await running.post("/oauth/introspect", {"token": "x"}, headers=basic("backend"))
    assert (response.status, await error_of(response)) == (400, "unauthorized_client")


async def test_a_resource_server_learns_what_an_access_token_says(running: Running) -> None:
    """C137"""
    pair = await running.logged_in()
    answer = await asked(running, pair["access_token"])
    claims = read_jws(pair["access_token"]).payload
    assert answer == {
        "active": True,
        "scope": "orders:read orders:write",
        "client_id": "web",
        "sub": "alice",
        "exp": NOW + 600,
        "iat": NOW,
        "aud": AUDIENCE,
        "iss": ISSUER,
        "jti": claims["jti"],
        "auth_time": NOW,
        "token_type": "Bearer",
    }
    assert running.seen == [(claims["sid"], 1)], "somebody used the token, so the pair has arrived"


async def test_a_client_may_ask_about_its_own_tokens(running: Running) -> None:
    pair = await running.logged_in("svc")
    answer = await asked(running, pair["access_token"], "svc")
    assert isinstance(answer, dict)
    assert answer["active"] is True
    assert running.seen == []


async def test_a_token_that_is_worth_nothing_is_not_active_and_nothing_else(running: Running) -> None:
    """C138"""
    out, revoked, expired = [await running.logged_in() for _ in range(3)]
    await running.post("/auth/logout", {"refresh_token": out["refresh_token"]})
    await running.post("/oauth/revoke", {"token": revoked["access_token"], "client_id": "web"})
    foreign = make_key("EdDSA", "a1").sign(
        {"iss": ISSUER, "sub": "x", "aud": AUDIENCE, "exp": NOW + 100, "iat": NOW, "jti": "1", "client_id": "web"}
    )
    forged = expired["access_token"][:-4] + "AAAA"
    for token in (out["access_token"], revoked["access_token"], forged, foreign, "garbage", "rt1.x", "a.b.c"):
        assert await asked(running, token) == {"active": False}
    assert await asked(running, expired["access_token"], "stranger") == {"active": False}, "another audience"
    assert await asked(running, expired["access_token"], "svc") == {"active": False}, "another client"
    running.later(600)
    assert await asked(running, expired["access_token"]) == {"active": False}
    assert running.seen == []


async def test_only_its_own_client_learns_about_a_refresh_token(running: Running) -> None:
    """C139"""
    pair = await running.logged_in("svc")
    for _ in range(2):
        assert await asked(running, pair["refresh_token"], "svc") == {
            "active": True,
            "scope": "orders:read orders:write",
            "client_id": "svc",
            "sub": "alice",
            "exp": NOW + 7 * 86400,
            "iat": NOW,
            "iss": ISSUER,
        }
    assert (await running.session_of(pair["refresh_token"])).generation == 1
    for other in ("api", "stranger"):
        assert await asked(running, pair["refresh_token"], other) == {"active": False}
    own = {"client_id": "svc", "client_secret": SECRET}
    second = await running.exchanged(pair["refresh_token"], **own)
    assert await asked(running, pair["refresh_token"], "svc") == {"active": False}
    assert await asked(running, second["refresh_token"], "svc") != {"active": False}
    running.later(7 * 86400)
    assert await asked(running, second["refresh_token"], "svc") == {"active": False}


async def test_a_token_must_be_there(running: Running) -> None:
    """C140"""
    for form in ({}, {"token": ""}):
        response = await running.post("/oauth/introspect", form or {"x": "y"}, headers=basic("api"))
        assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_a_token_in_the_query_is_not_looked_at(running: Running) -> None:
    """C141"""
    response = await running.http.get("/oauth/introspect?token=x", headers=basic("api"))
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    response = await running.post("/oauth/introspect?token=x", {"token": "x"}, headers=basic("api"))
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_an_answer_may_not_be_kept_beyond_the_tokens_end(running: Running) -> None:
    """C144: it may not be kept at all, and `exp` says when it ends."""
    pair = await running.logged_in()
    running.later(599)
    answer = await asked(running, pair["access_token"])
    assert isinstance(answer, dict)
    assert answer["exp"] == NOW + 600


async def test_who_does_not_know_what_is_revoked_says_nothing(running: Running) -> None:
    pair = await running.logged_in()
    running.now += 31  # without news of revocations
    response = await running.post("/oauth/introspect", {"token": pair["access_token"]}, headers=basic("api"))
    assert (response.status, await error_of(response)) == (503, "temporarily_unavailable")
