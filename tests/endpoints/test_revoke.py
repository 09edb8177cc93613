from gateway.model.session import EndReason
from tests.endpoints.conftest import Start
from tests.endpoints.running import SECRET, Running, basic, error_of
from tests.minting import NOW, make_key


async def test_a_revoked_refresh_token_takes_its_access_tokens_along(running: Running) -> None:
    """C125"""
    pair = await running.logged_in()
    response = await running.post("/oauth/revoke", {"token": pair["refresh_token"], "client_id": "web"})
    assert (response.status, await response.text()) == (200, "")
    assert response.headers["Cache-Control"] == "no-store"
    assert not running.is_good(pair["access_token"])
    assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"
    assert running.ends() == [EndReason.REVOKED]
    again = await running.post("/oauth/revoke", {"token": pair["refresh_token"], "client_id": "web"})
    assert again.status == 200


async def test_a_revoked_access_token_takes_nothing_along(running: Running) -> None:
    """C126"""
    pair = await running.logged_in()
    response = await running.post("/oauth/revoke", {"token": pair["access_token"], "client_id": "web"})
    assert (response.status, await response.text()) == (200, "")
    assert not running.is_good(pair["access_token"])
    second = await running.exchanged(pair["refresh_token"])
    assert running.is_good(second["access_token"])


async def test_garbage_is_as_good_as_revoked(running: Running) -> None:
    """C127"""
    for token in ("garbage", "rt1.garbage", "a.b.c", "x" * 5000, "é"):
        response = await running.post("/oauth/revoke", {"token": token, "client_id": "web"})
        assert (response.status, await response.text()) == (200, "")


async def test_a_wrong_or_unknown_hint_changes_nothing(running: Running) -> None:
    """C128, C129"""
    for kind, hint in (
        ("refresh_token", "access_token"),
        ("access_token", "refresh_token"),
        ("refresh_token", "foo"),
        ("access_token", "foo"),
    ):
        pair = await running.logged_in()
        response = await running.post(
            "/oauth/revoke", {"token": pair[kind], "token_type_hint": hint, "client_id": "web"}
        )
        assert response.status == 200
        assert not running.is_good(pair["access_token"])


async def test_a_token_must_be_there_once(running: Running) -> None:
    """C130"""
    for form in ("client_id=web", "token=&client_id=web", "token=a&token=a"):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await running.http.post("/oauth/revoke", data=form, headers=headers)
        assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.post("/oauth/revoke?token=x")
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.http.get("/oauth/revoke")
    assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_the_token_of_another_client_stays_good(running: Running) -> None:
    """C131"""
    pair = await running.logged_in("web")
    for headers, more in ((basic("svc"), {}), ({}, {"client_id": "phone"})):
        for kind in ("refresh_token", "access_token"):
            response = await running.post("/oauth/revoke", {"token": pair[kind], **more}, headers=headers)
            assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert running.is_good(pair["access_token"])
    await running.exchanged(pair["refresh_token"])


async def test_a_confidential_client_must_authenticate(running: Running) -> None:
    """C132"""
    pair = await running.logged_in("svc")
    for kind in ("refresh_token", "access_token"):
        for more, headers in (({}, {}), ({"client_id": "svc"}, {}), ({}, basic("svc", "wrong"))):
            response = await running.post("/oauth/revoke", {"token": pair[kind], **more}, headers=headers)
            assert (response.status, await error_of(response)) == (401, "invalid_client")
            assert response.headers["WWW-Authenticate"].startswith("Basic ")
    assert running.is_good(pair["access_token"])
    response = await running.post("/oauth/revoke", {"token": pair["access_token"]}, headers=basic("svc"))
    assert response.status == 200
    form = {"token": pair["refresh_token"], "client_id": "svc", "client_secret": SECRET}
    assert (await running.post("/oauth/revoke", form)).status == 200
    assert running.ends() == [EndReason.REVOKED]


async def test_the_token_of_another_issuer_cannot_be_revoked_here(running: Running) -> None:
    """C133"""
    foreign = make_key("RS256", "k1").sign({"iss": "https://other.example", "sub": "alice", "exp": NOW + 100})
    response = await running.post("/oauth/revoke", {"token": foreign, "client_id": "web"})
    assert (response.status, await error_of(response)) == (400, "unsupported_token_type")


async def test_a_revocation_that_is_not_confirmed_holds_here_all_the_same(running: Running) -> None:
    """C134"""
    pair = await running.logged_in()
    await running.store.close()
    for kind in ("access_token", "refresh_token"):
        response = await running.post("/oauth/revoke", {"token": pair[kind], "client_id": "web"})
        assert (response.status, await error_of(response)) == (503, "temporarily_unavailable")
        assert "Retry-After" in response.headers
    await running.store.open()


async def test_an_expired_token_leaves_nothing_behind(running: Running) -> None:
    """C135"""
    pair = await running.logged_in()
    running.later(700)
    response = await running.post("/oauth/revoke", {"token": pair["access_token"], "client_id": "web"})
    assert response.status == 200
    assert len(running.view) == 0
    running.later(7 * 86400 + 60)
    response = await running.post("/oauth/revoke", {"token": pair["refresh_token"], "client_id": "web"})
    assert response.status == 200
    assert running.ends() == []
    assert len(running.view) == 0


async def test_a_client_that_may_not_revoke_is_told_so(start: Start) -> None:
    running = await start(clients={"web": {"type": "public", "may": {"revoke": False}}})
    pair = await running.logged_in()
    response = await running.post("/oauth/revoke", {"token": pair["refresh_token"], "client_id": "web"})
    assert (response.status, await error_of(response)) == (400, "unauthorized_client")


async def test_saying_nothing_about_the_client_is_no_way_around_that(start: Start) -> None:
    running = await start(clients={"web": {"type": "public", "may": {"revoke": False}}})
    pair = await running.logged_in()
    for kind in ("refresh_token", "access_token"):
        response = await running.post("/oauth/revoke", {"token": pair[kind]})
        assert (response.status, await error_of(response)) == (400, "unauthorized_client")
    assert running.is_good(pair["access_token"])


async def test_a_refresh_token_that_is_a_jwt_is_one_all_the_same(start: Start) -> None:
    running = await start(refresh={"format": "jwt"})
    pair = await running.logged_in("svc")
    response = await running.post("/oauth/introspect", {"token": pair["refresh_token"]}, headers=basic("svc"))
    assert (await response.json())["active"] is True
    response = await running.post("/oauth/introspect", {"token": pair["refresh_token"]}, headers=basic("api"))
    assert await response.json() == {"active": False}
    response = await running.post("/oauth/revoke", {"token": pair["refresh_token"] + "A"}, headers=basic("svc"))
    assert response.status == 200
    assert running.is_good(pair["access_token"])
    response = await running.post("/oauth/revoke", {"token": pair["refresh_token"]}, headers=basic("svc"))
    assert response.status == 200
    assert not running.is_good(pair["access_token"])
