import asyncio

import pytest

from gateway.model.faces import OWN_REASON
from gateway.model.session import EndReason
from gateway.tokens.jose import read_jws
from tests.endpoints.conftest import Start
from tests.endpoints.running import SECRET, Running, basic, error_of


async def test_an_exchange_gives_a_new_pair_that_must_not_be_stored_on_the_way(running: Running) -> None:
    """C73"""
    first = await running.logged_in()
    running.later(60)
    response = await running.exchange(first["refresh_token"])
    assert response.status == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    assert response.content_type == "application/json"
    second = await response.json()
    assert set(second) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    claims = read_jws(second["access_token"]).payload
    assert second["expires_in"] == claims["exp"] - claims["iat"] == 600


async def test_the_same_request_again_gets_the_same_pair_and_what_is_left_of_its_time(running: Running) -> None:
    """C74"""
    first = await running.logged_in()
    second = await running.exchanged(first["refresh_token"])
    running.later(9)
    again = await running.exchanged(first["refresh_token"])
    assert (again["access_token"], again["refresh_token"]) == (second["access_token"], second["refresh_token"])
    assert again["expires_in"] == 591


async def test_many_tabs_at_once_get_one_pair(running: Running) -> None:
    """C75"""
    first = await running.logged_in()
    answers = await asyncio.gather(*(running.exchanged(first["refresh_token"]) for _ in range(50)))
    assert len({(answer["access_token"], answer["refresh_token"]) for answer in answers}) == 1
    assert (await running.session_of(first["refresh_token"])).generation == 2


async def test_a_lost_answer_is_given_again_half_an_hour_later(running: Running) -> None:
    """C76"""
    first = await running.logged_in()
    second = await running.exchanged(first["refresh_token"])
    running.later(1800)
    third = await running.exchanged(first["refresh_token"])
    assert third["refresh_token"] == second["refresh_token"]
    assert third["access_token"] != second["access_token"]
    assert (await running.exchanged(first["refresh_token"]))["access_token"] == third["access_token"]


async def test_a_replaced_refresh_token_ends_the_session_once_its_successor_was_used(running: Running) -> None:
    """C77, C174"""
    first = await running.logged_in()
    second = await running.exchanged(first["refresh_token"])
    session = await running.session_of(first["refresh_token"])
    await running.service.acknowledge(session.sid, 2)
    running.later(11)
    response = await running.exchange(first["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert not running.is_good(second["access_token"])
    assert running.ends() == [EndReason.REUSE]


async def test_a_refresh_token_of_two_rotations_ago_ends_the_session(running: Running) -> None:
    """C78, C79"""
    first = await running.logged_in()
    second = await running.exchanged(first["refresh_token"])
    third = await running.exchanged(second["refresh_token"])
    response = await running.exchange(first["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")
    response = await running.exchange(third["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert running.ends() == [EndReason.REUSE]


async def test_whatever_is_wrong_with_a_refresh_token_the_answer_is_the_same(running: Running) -> None:
    """C81, C82, C83: nobody learns which tokens ever were."""
    over, other, idle = [(await running.logged_in())["refresh_token"] for _ in range(3)]
    assert (await running.post("/auth/logout", {"refresh_token": over})).status == 204
    flipped = other[:-1] + ("A" if other[-1] != "A" else "B")
    running.events.clear()
    bad = [over, "garbage", other[:-5], flipped, "rt1." + "A" * 56, other + "=", "a.b.c", "é", "x" * 8000]
    answers = [await running.exchange(token) for token in bad]
    running.later(7 * 86400 + 1)
    answers.append(await running.exchange(idle))
    assert {answer.status for answer in answers} == {400}
    assert len({await answer.text() for answer in answers}) == 1
    assert await error_of(answers[0]) == "invalid_grant"
    unseen = {"Date", OWN_REASON}
    assert len({tuple(sorted((k, v) for k, v in a.headers.items() if k not in unseen)) for a in answers}) == 1
    assert running.ends() == []
    assert "WWW-Authenticate" not in answers[0].headers


async def test_other_sessions_outlive_a_logged_out_one(running: Running) -> None:
    """C81"""
    over, other = await running.logged_in(), await running.logged_in()
    await running.post("/auth/logout", {"refresh_token": over["refresh_token"]})
    await running.exchange(over["refresh_token"])
    await running.exchanged(other["refresh_token"])
    assert running.ends() == [EndReason.LOGOUT]


async def test_nothing_outlives_the_absolute_end(start: Start) -> None:
    """C84"""
    running = await start(refresh={"idle": None, "absolute": 1000}, access={"jitter": 0, "lifetime": 600})
    first = await running.logged_in()
    running.later(900)
    second = await running.exchanged(first["refresh_token"])
    assert second["expires_in"] == 100
    running.later(100)
    response = await running.exchange(second["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("refresh_token=x", "invalid_request"),
        ("grant_type=&refresh_token=x", "invalid_request"),
        ("grant_type=foo&refresh_token=x", "unsupported_grant_type"),
        ("grant_type=password&username=alice&password=x", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unsupported_grant_type"),
        ("grant_type=client_credentials", "unsupported_grant_type"),
        ("grant_type=refresh_token", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&refresh_token=x", "invalid_request"),
        ("grant_type=refresh_token&grant_type=refresh_token&refresh_token=x", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&extra=1&extra=2", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=%zz", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=%ff", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x%00", "invalid_request"),
        ("grant_type=refresh_token&refresh_token=x&client_id=nobody", "invalid_client"),
        ("grant_type=refresh_token&refresh_token=x&client_secret=y", "invalid_request"),
        ("&".join(f"p{i}=1" for i in range(100)), "invalid_request"),
        ("", "invalid_request"),
    ],
)
async def test_malformed_grant_requests_are_refused(running: Running, form: str, error: str) -> None:
    """C85, C86, C87, C88, C89"""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await running.http.post("/oauth/token", data=form, headers=headers)
    assert (response.status, await error_of(response)) == (401 if error == "invalid_client" else 400, error)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.content_type == "application/json"


async def test_parameters_in_the_query_are_refused_and_change_nothing(running: Running) -> None:
    """C90"""
    pair = await running.logged_in()
    query = f"grant_type=refresh_token&refresh_token={pair['refresh_token']}"
    response = await running.post(f"/oauth/token?{query}")
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.post(f"/oauth/token?{query}", {"grant_type": "refresh_token", "refresh_token": "x"})
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    assert (await running.session_of(pair["refresh_token"])).generation == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_the_token_endpoint_takes_post_only(running: Running, method: str) -> None:
    """C91"""
    response = await running.http.request(method, "/oauth/token")
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert response.headers["Cache-Control"] == "no-store"
    if method != "HEAD":
        assert await error_of(response) == "method_not_allowed"


async def test_the_token_endpoint_takes_forms_only(running: Running) -> None:
    """C92"""
    pair = await running.logged_in()
    body = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    response = await running.http.post("/oauth/token", json=body)
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.http.post("/auth/refresh", json=body)
    assert response.status == 200


async def test_a_narrower_scope_is_for_one_access_token_only(running: Running) -> None:
    """C93, C177"""
    pair = await running.logged_in()
    narrow = await running.exchanged(pair["refresh_token"], scope="orders:read")
    assert narrow["scope"] == read_jws(narrow["access_token"]).payload["scope"] == "orders:read"
    wide = await running.exchanged(narrow["refresh_token"])
    assert wide["scope"] == "orders:read orders:write"


@pytest.mark.parametrize("scope", ["admin", "orders:read admin", 'orders:read"', "orders:read  orders:write", "\t"])
async def test_more_scope_than_was_granted_consumes_nothing(running: Running, scope: str) -> None:
    """C94"""
    pair = await running.logged_in()
    response = await running.exchange(pair["refresh_token"], scope=scope)
    assert (response.status, await error_of(response)) == (400, "invalid_scope")
    assert (await running.session_of(pair["refresh_token"])).generation == 1


async def test_the_refresh_token_of_another_client_is_refused_and_stays_good(running: Running) -> None:
    """C95"""
    pair = await running.logged_in("web")
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    for headers, more in ((basic("svc"), {}), ({}, {"client_id": "phone"})):
        response = await running.post("/oauth/token", {**form, **more}, headers=headers)
        assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert running.ends() == []
    await running.exchanged(pair["refresh_token"], client_id="web")


async def test_a_wrong_secret_is_answered_with_a_challenge_and_consumes_nothing(running: Running) -> None:
    """C96"""
    pair = await running.logged_in("svc")
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    response = await running.post("/oauth/token", form, headers=basic("svc", "wrong"))
    assert (response.status, await error_of(response)) == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"] == 'Basic realm="gw", charset="UTF-8"'
    assert (await running.session_of(pair["refresh_token"])).generation == 1
    response = await running.post("/oauth/token", form, headers=basic("svc"))
    assert response.status == 200


async def test_a_client_authenticates_in_one_way_only(running: Running) -> None:
    """C97"""
    pair = await running.logged_in("svc")
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    for more in ({"client_secret": SECRET}, {"client_id": "svc", "client_secret": SECRET}, {"client_id": "web"}):
        response = await running.post("/oauth/token", {**form, **more}, headers=basic("svc"))
        assert (response.status, await error_of(response)) == (400, "invalid_request")
    response = await running.post("/oauth/token", {**form, "client_id": "svc"}, headers=basic("svc"))
    assert response.status == 200


async def test_a_client_without_the_grant_is_refused(running: Running) -> None:
    """C98"""
    pair = await running.logged_in("web")
    form = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    response = await running.post("/oauth/token", form, headers=basic("batch"))
    assert (response.status, await error_of(response)) == (400, "unauthorized_client")


async def test_the_refresh_token_of_a_confidential_client_needs_its_authentication(running: Running) -> None:
    """RFC 6749 §6"""
    pair = await running.logged_in("svc")
    response = await running.exchange(pair["refresh_token"])
    assert response.status in (400, 401)
    assert await error_of(response) in ("invalid_client", "invalid_grant")
    response = await running.exchange(pair["refresh_token"], client_id="svc")
    assert (response.status, await error_of(response)) == (401, "invalid_client")
    assert (await running.session_of(pair["refresh_token"])).generation == 1
    await running.exchanged(pair["refresh_token"], client_id="svc", client_secret=SECRET)


async def test_unknown_parameters_are_ignored(running: Running) -> None:
    """C99"""
    pair = await running.logged_in()
    await running.exchanged(pair["refresh_token"], state="x", resource="https://api.example")


async def test_while_the_store_is_away_nothing_is_lost(running: Running) -> None:
    """C100"""
    pair = await running.logged_in()
    await running.store.close()
    response = await running.exchange(pair["refresh_token"])
    assert (response.status, await error_of(response)) == (503, "temporarily_unavailable")
    assert int(response.headers["Retry-After"]) > 0
    await running.store.open()
    await running.exchanged(pair["refresh_token"])


async def test_an_early_exchange_is_put_off(start: Start) -> None:
    """C104"""
    running = await start(exchange={"early": "reject", "early_slack": 60})
    pair = await running.logged_in()
    response = await running.exchange(pair["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    assert response.headers["Retry-After"] == "540"
    assert (await running.session_of(pair["refresh_token"])).generation == 1
    running.later(540)
    await running.exchanged(pair["refresh_token"])


async def test_an_early_exchange_is_taken_for_theft_where_it_is_said_to_be(start: Start) -> None:
    """C105"""
    running = await start(exchange={"early": "theft", "early_slack": 60})
    pair = await running.logged_in()
    response = await running.exchange(pair["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert not running.is_good(pair["access_token"])
    assert running.ends() == [EndReason.EARLY_EXCHANGE]
    await running.logged_in()


async def test_an_early_exchange_is_fine_by_default_and_within_the_slack(start: Start) -> None:
    """C106"""
    running = await start(exchange={"early": "reject", "early_slack": 60})
    pair = await running.logged_in()
    running.later(545)
    await running.exchanged(pair["refresh_token"])


async def test_a_bound_exchange_needs_the_access_token_of_the_pair(start: Start) -> None:
    """C107, C108, C109, C110"""
    running = await start(exchange={"access_token": "bound"})
    pair, other = await running.logged_in(), await running.logged_in()
    response = await running.exchange(pair["refresh_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_request")
    for wrong in (other["access_token"], pair["access_token"][:-4] + "AAAA", "garbage"):
        response = await running.exchange(pair["refresh_token"], access_token=wrong)
        assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert (await running.session_of(pair["refresh_token"])).generation == 1
    running.later(700)
    second = await running.exchanged(pair["refresh_token"], access_token=pair["access_token"])
    assert running.ends() == []
    response = await running.exchange(second["refresh_token"], access_token=pair["access_token"])
    assert (response.status, await error_of(response)) == (400, "invalid_grant")
    assert running.ends() == [EndReason.PAIR_MISMATCH]


async def test_junk_is_slowed_down_and_what_verifies_is_not(start: Start) -> None:
    """C122"""
    running = await start(junk_per_minute=5)
    pair = await running.logged_in()
    await running.post("/auth/logout", {"refresh_token": (over := await running.logged_in())["refresh_token"]})
    headers = {"X-Gateway-Client-Address": "192.0.2.7"}
    form = {"grant_type": "refresh_token", "refresh_token": "junk"}
    statuses = [(await running.post("/oauth/token", form, headers=headers)).status for _ in range(6)]
    assert statuses == [400] * 5 + [429]
    response = await running.post("/auth/refresh", form, headers=headers)
    assert (response.status, await error_of(response)) == (429, "too_many_attempts")
    assert int(response.headers["Retry-After"]) > 0
    elsewhere = await running.post("/oauth/token", form, headers={"X-Gateway-Client-Address": "192.0.2.8"})
    assert elsewhere.status == 400
    good = {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]}
    assert (await running.post("/oauth/token", good, headers=headers)).status == 200
    ended = {"grant_type": "refresh_token", "refresh_token": over["refresh_token"]}
    assert (await running.post("/oauth/token", ended, headers=headers)).status == 400
    running.later(12)
    assert (await running.post("/oauth/token", form, headers=headers)).status == 400


async def test_a_body_that_is_too_large_is_not_read(running: Running) -> None:
    response = await running.exchange("x" * 20_000)
    assert (response.status, await error_of(response)) == (413, "content_too_large")


async def test_an_exchange_can_be_answered_for_clients_that_know_401_only(start: Start) -> None:
    running = await start(errors={"token": "bearer", "refresh": "oauth"})
    response = await running.exchange("junk")
    assert (response.status, await error_of(response)) == (401, "invalid_token")
    response = await running.post("/auth/refresh", {"refresh_token": "junk"})
    assert (response.status, await error_of(response)) == (400, "invalid_grant")


async def test_the_token_endpoint_never_redirects(running: Running) -> None:
    """C124"""
    for path in ("/oauth/token/", "/oauth", "/oauth/Token"):
        assert (await running.post(path, {"grant_type": "refresh_token"})).status == 404
