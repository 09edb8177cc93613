import pytest

from gateway.model.errors import Unconfirmed
from gateway.model.session import EndReason
from gateway.state.sqlite import SqliteFeed, SqliteStore
from tests.endpoints.running import Running, error_of


async def test_a_logout_ends_the_session_at_once(running: Running) -> None:
    """C118"""
    pair, other = await running.logged_in(), await running.logged_in()
    response = await running.http.post("/auth/logout", json={"refresh_token": pair["refresh_token"]})
    assert response.status == 204
    assert await response.text() == ""
    assert not running.is_good(pair["access_token"])
    assert running.is_good(other["access_token"])
    assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"
    assert running.ends() == [EndReason.LOGOUT]


@pytest.mark.parametrize("body", [{}, {"refresh_token": "garbage"}, {"access_token": "a.b.c"}, {"all": True}])
async def test_whoever_is_logged_out_already_is_so_again(running: Running, body: dict[str, object]) -> None:
    """C119"""
    pair = await running.logged_in()
    for _ in range(2):
        assert (await running.post("/auth/logout", {"refresh_token": pair["refresh_token"]})).status == 204
    assert (await running.http.post("/auth/logout", json=body)).status == 204
    assert (await running.post("/auth/logout")).status == 204
    assert running.ends() == [EndReason.LOGOUT]


async def test_an_old_refresh_token_logs_out_and_raises_no_alarm(running: Running) -> None:
    pair = await running.logged_in()
    second = await running.exchanged(pair["refresh_token"])
    await running.exchanged(second["refresh_token"])
    assert (await running.post("/auth/logout", {"refresh_token": pair["refresh_token"]})).status == 204
    assert running.ends() == [EndReason.LOGOUT]


@pytest.mark.parametrize("seconds", [0, 700])
async def test_an_access_token_logs_out_even_if_it_expired(running: Running, seconds: float) -> None:
    pair = await running.logged_in()
    running.later(seconds)
    response = await running.post("/auth/logout", headers={"Authorization": f"Bearer {pair['access_token']}"})
    assert response.status == 204
    assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"


async def test_all_sessions_of_a_user_can_be_ended(running: Running) -> None:
    pairs = [await running.logged_in() for _ in range(3)]
    running.later(1)
    response = await running.http.post("/auth/logout", json={"refresh_token": pairs[0]["refresh_token"], "all": True})
    assert response.status == 204
    for pair in pairs:
        assert not running.is_good(pair["access_token"])
        assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"
    assert running.is_good((await running.logged_in())["access_token"])


async def test_a_live_access_token_can_end_all_sessions(running: Running) -> None:
    pairs = [await running.logged_in() for _ in range(2)]
    await running.post("/auth/logout", {"access_token": pairs[0]["access_token"], "all": "true"})
    assert not running.is_good(pairs[1]["access_token"])


async def test_an_old_token_cannot_log_the_user_out_everywhere_again(running: Running) -> None:
    """It would be a lever to lock somebody out for ever."""
    old = await running.logged_in()
    await running.post("/auth/logout", {"refresh_token": old["refresh_token"]})
    running.later(5)
    present = await running.logged_in()
    for token in ({"refresh_token": old["refresh_token"]}, {"access_token": old["access_token"]}):
        assert (await running.post("/auth/logout", {**token, "all": "true"})).status == 204
    assert running.is_good(present["access_token"])


async def test_a_replaced_token_logs_out_no_more_than_its_own_session(running: Running) -> None:
    """Somebody may have found it in an old backup: it is no key to all sessions of the user."""
    old, other = await running.logged_in(), await running.logged_in()
    second = await running.exchanged(old["refresh_token"])
    present = await running.exchanged(second["refresh_token"])
    response = await running.post("/auth/logout", {"refresh_token": old["refresh_token"], "all": "true"})
    assert response.status == 204
    assert not running.is_good(present["access_token"])
    assert running.is_good(other["access_token"])
    assert running.ends() == [EndReason.LOGOUT]


async def test_a_flag_that_is_neither_true_nor_false_is_refused(running: Running) -> None:
    for value in ("yes", 1, "1"):
        response = await running.http.post("/auth/logout", json={"all": value})
        assert (response.status, await error_of(response)) == (400, "invalid_request")


@pytest.mark.parametrize("names", [["refresh_token"], ["access_token"], ["refresh_token", "access_token"]])
async def test_while_the_store_is_away_a_logout_holds_here_and_is_not_confirmed(
    running: Running, names: list[str]
) -> None:
    """C134"""
    pair, other = await running.logged_in(), await running.logged_in()
    await running.store.close()
    response = await running.post("/auth/logout", {name: pair[name] for name in names})
    assert response.status == 503
    assert "Retry-After" in response.headers
    assert not running.is_good(pair["access_token"])
    assert running.is_good(other["access_token"])
    await running.store.open()
    assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"


async def test_while_the_store_is_away_each_of_two_sessions_is_ended(running: Running) -> None:
    one, other = await running.logged_in(), await running.logged_in()
    await running.store.close()
    body = {"refresh_token": one["refresh_token"], "access_token": other["access_token"]}
    assert (await running.post("/auth/logout", body)).status == 503
    assert not running.is_good(one["access_token"])
    assert not running.is_good(other["access_token"])
    await running.store.open()


async def test_while_the_store_is_away_junk_ends_nothing(running: Running) -> None:
    pair = await running.logged_in()
    await running.store.close()
    token = pair["refresh_token"]
    junk = token[:30] + ("B" if token[30] == "A" else "A") + token[31:]
    assert (await running.post("/auth/logout", {"refresh_token": junk})).status == 204
    assert running.is_good(pair["access_token"])
    await running.store.open()


@pytest.mark.parametrize("body", [{}, {"all": True}])
async def test_a_logout_that_was_not_confirmed_is_not_done_when_it_is_asked_for_again(
    running: Running, monkeypatch: pytest.MonkeyPatch, body: dict[str, object]
) -> None:
    pair = await running.logged_in()
    running.later(1)
    body = {"refresh_token": pair["refresh_token"], **body}

    async def unconfirmed(*_: object, **__: object) -> bool:
        raise Unconfirmed("no replica")

    with monkeypatch.context() as failing:
        failing.setattr(SqliteStore, "commit", unconfirmed)
        failing.setattr(SqliteFeed, "publish", unconfirmed)
        for _ in range(2):
            assert (await running.http.post("/auth/logout", json=body)).status == 503
    assert not running.is_good(pair["access_token"])
    assert await error_of(await running.exchange(pair["refresh_token"])) == "invalid_grant"
