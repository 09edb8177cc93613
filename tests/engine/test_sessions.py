import asyncio
import gc
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.model import errors
from gateway.model.decision import Pending
from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.revocation import Level, generation_mark, session_mark
from gateway.model.session import EndReason, Exchanged, Issued, Opened, SessionOver
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.refresh_token import make_refresh_token
from tests.engine.session_examples import T0
from tests.engine.session_house import RING, Gateway, House, house
from tests.minting import ISSUER, make_key
from tests.own_tokens import keyring, private_jwk, refresh_jwk


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as built:
        yield built


@pytest_asyncio.fixture
async def gateway(home: House) -> Gateway:
    return await home.gateway()


def pair(issued: Issued) -> tuple[str, str | None]:
    return issued.access_token, issued.refresh_token


def refresh_token(issued: Issued) -> str:
    assert issued.refresh_token is not None
    return issued.refresh_token


async def gave_up(gateway: Gateway, work: Coroutine[Any, Any, object]) -> None:
    """Do something for a client that is gone before it is committed."""
    task = asyncio.create_task(work)

    async def go() -> None:
        task.cancel()
        await asyncio.sleep(0)

    gateway.faults.before = go
    with pytest.raises(asyncio.CancelledError):
        await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


# --- log in


async def test_a_login_opens_a_session(gateway: Gateway) -> None:
    """C72"""
    issued = await gateway.login(claims={"role": "admin"}, device="phone", address="192.0.2.0")
    claims = gateway.service.own_claims(issued.access_token, T0)
    assert (claims["sub"], claims["client_id"], claims["role"], claims["gen"]) == ("alice", "web", "admin", 1)
    assert (issued.expires_in, issued.scope) == (600, "orders:read orders:write")
    assert gateway.events == [Opened(issued.session)]
    assert await gateway.service.sessions_of("alice") == [issued.session]


async def test_a_session_lies_in_its_subjects_shard(gateway: Gateway) -> None:
    issued = await gateway.login()
    assert urlsafe_b64decode(issued.session.sid + "==")[:2] == b"\0\0"


async def test_limits_that_are_not_set_are_not_there(home: House) -> None:
    no_idle = await (await home.gateway(refresh={"idle": None})).login()
    no_absolute = await (await home.gateway(refresh={"absolute": None})).login()
    assert (no_idle.session.idle_expires_at, no_absolute.session.absolute_expires_at) == (None, None)


async def test_a_login_whose_reply_was_lost_is_one_login(gateway: Gateway) -> None:
    gateway.faults.next = ["lost"]
    issued = await gateway.login()
    assert gateway.events == [Opened(issued.session)]
    assert len(await gateway.service.sessions_of("alice")) == 1


async def test_an_unconfirmed_login_does_not_count(gateway: Gateway) -> None:
    gateway.faults.next = ["unconfirmed"]
    with pytest.raises(Unconfirmed):
        await gateway.login()
    assert gateway.events == []
    assert await gateway.service.sessions_of("alice") == []


@pytest.mark.parametrize("faults", [["away", "away"], ["lost", "away"], ["lost", "away", "away"]])
async def test_a_login_that_nobody_confirms_fails_for_now(gateway: Gateway, faults: list[str | None]) -> None:
    gateway.faults.next = faults
    with pytest.raises(StoreUnavailable):
        await gateway.login()
    assert gateway.events == []
    gateway.faults.next = []
    assert (await gateway.login()).session.subject == "alice"


# --- sessions per subject


async def test_the_oldest_session_gives_way(home: House) -> None:
    """C111"""
    here, there = await home.gateway(limit={"per_subject": 2}), await home.gateway()
    issued = []
    for _ in range(3):
        issued.append(await here.login())
        home.clock.now += 1
    assert await here.service.sessions_of("alice") == [each.session for each in issued[1:]]
    assert [here.holds(each) for each in issued] == [False, True, True]
    await there.catch_up()
    assert [there.holds(each) for each in issued] == [False, True, True]
    with pytest.raises(errors.EndedSession):
        await here.exchange(issued[0])
    assert here.ends() == [EndReason.EVICTED]


async def test_a_newcomer_can_be_refused_instead(home: House) -> None:
    """C112"""
    gateway = await home.gateway(limit={"per_subject": 1, "on_excess": "reject"})
    first = await gateway.login()
    with pytest.raises(errors.TooManySessions) as refused:
        await gateway.login()
    assert refused.value.sessions == 1
    assert await gateway.service.sessions_of("alice") == [first.session]
    assert (await gateway.exchange(first)).session.generation == 2
    await gateway.login("bob")


async def test_a_session_that_is_known_to_be_dead_does_not_count(home: House) -> None:
    gateway = await home.gateway(limit={"per_subject": 1, "on_excess": "reject"})
    first = await gateway.login()
    gateway.faults.next = ["away", "away"]
    with pytest.raises(StoreUnavailable):
        await gateway.service.end(first.session.sid, EndReason.LOGOUT)
    await gateway.login()


async def test_parallel_logins_leave_as_many_sessions_as_there_may_be(home: House) -> None:
    gateways = [await home.gateway(limit={"per_subject": 1}) for _ in range(2)]
    issued = await asyncio.gather(*(gateway.login() for gateway in gateways for _ in range(3)))
    [live] = await gateways[0].service.sessions_of("alice")
    assert live.sid in {each.session.sid for each in issued}
    for gateway in gateways:
        await gateway.catch_up()
    assert [gateways[0].holds(each) for each in issued].count(True) == 1
    assert sum(len(gateway.ends()) for gateway in gateways) == len(issued) - 1


async def test_many_logins_of_one_subject_at_once_hinder_none(home: House) -> None:
    gateway = await home.gateway(limit={"per_subject": 3})
    await asyncio.gather(*(gateway.login() for _ in range(30)))
    assert len(await gateway.service.sessions_of("alice")) == 3


async def test_a_login_that_never_wins_fails_for_now(home: House) -> None:
    gateway, other = await home.gateway(limit={"per_subject": 5}), await home.gateway()
    gateway.faults.keep_coming_between(other.login)
    with pytest.raises(StoreUnavailable, match="keep changing"):
        await gateway.login()


async def test_what_an_unconfirmed_login_evicted_is_gone_and_told_of(home: House) -> None:
    """It was written. Once more does not tell it again."""
    gateway = await home.gateway(limit={"per_subject": 1})
    first = await gateway.login()
    gateway.faults.next = ["unconfirmed"]
    with pytest.raises(Unconfirmed):
        await gateway.login()
    assert not gateway.holds(first)
    assert gateway.owes()
    await gateway.login()
    assert gateway.ends() == [EndReason.EVICTED]


async def test_a_login_while_the_store_is_away_ends_nobodys_session(home: House) -> None:
    gateway = await home.gateway(limit={"per_subject": 1})
    first = await gateway.login()
    gateway.faults.next = ["away", "away", "away"]
    with pytest.raises(StoreUnavailable):
        await gateway.login()
    assert gateway.holds(first)
    assert gateway.ends() == []


# --- exchange


async def test_an_exchange_gives_a_new_pair(gateway: Gateway, home: House) -> None:
    """C73"""
    first = await gateway.login()
    home.clock.now += 700
    second = await gateway.exchange(first, address="192.0.2.0")
    assert first.access_token != second.access_token
    assert first.refresh_token != second.refresh_token
    assert second.expires_in == 600
    assert gateway.events[1:] == [Exchanged("rotated", "web", second.session, address="192.0.2.0")]


async def test_the_same_request_again_gets_the_same_pair(gateway: Gateway, home: House) -> None:
    """C74"""
    first = await gateway.login()
    second = await gateway.exchange(first)
    home.clock.now += 9
    again = await gateway.exchange(first)
    assert pair(again) == pair(second)
    assert again.expires_in == 591
    assert gateway.results() == ["rotated", "repeated"]


async def test_fifty_at_once_get_one_pair(home: House) -> None:
    """C75"""
    gateways = [await home.gateway() for _ in range(2)]
    first = await gateways[0].login()
    answers = await asyncio.gather(*(gateways[number % 2].exchange(first) for number in range(50)))
    assert len({pair(each) for each in answers}) == 1
    results = [result for gateway in gateways for result in gateway.results()]
    assert sorted(results) == ["repeated"] * 49 + ["rotated"]


async def test_a_lost_answer_is_repeated_by_another_process_with_new_keys_in_use(home: House) -> None:
    """C76, C102"""
    here, there = await home.gateway(), await home.gateway()
    home.clock.now = T0 + 99_500
    first = await here.login()
    home.clock.now = T0 + 99_999
    second = await here.exchange(first)
    home.clock.now = T0 + 100_100
    assert pair(await there.exchange(first)) == pair(second)
    assert there.results() == ["recovered"]
    assert (await there.exchange(second)).session.signing_kid == "k2"


async def test_a_lost_answer_is_repeated_with_a_new_access_token_when_the_old_one_ran_out(
    gateway: Gateway, home: House
) -> None:
    """C76"""
    first = await gateway.login()
    second = await gateway.exchange(first)
    home.clock.now += 1800
    third = await gateway.exchange(first)
    assert third.refresh_token == second.refresh_token
    assert third.access_token != second.access_token
    home.clock.now += 60
    assert pair(await gateway.exchange(first)) == pair(third)


async def test_two_who_repeat_after_the_access_token_ran_out_get_the_same_new_one(
    gateway: Gateway, home: House
) -> None:
    first = await gateway.login()
    await gateway.exchange(first)
    home.clock.now += 1800
    answers = await asyncio.gather(*(gateway.exchange(first) for _ in range(5)))
    assert len({pair(each) for each in answers}) == 1


@pytest.mark.parametrize("fault", ["lost", "away"])
async def test_an_exchange_whose_reply_was_lost_is_one_rotation(gateway: Gateway, fault: str) -> None:
    """C101"""
    first = await gateway.login()
    gateway.faults.next = [fault]
    second = await gateway.exchange(first)
    assert second.session.generation == 2
    assert gateway.results() == ["rotated"]
    assert pair(await gateway.exchange(first)) == pair(second)


async def test_a_store_that_is_away_takes_nothing_from_the_client(gateway: Gateway) -> None:
    """C100"""
    first = await gateway.login()
    for faults in (["away", "away"], ["lost", "away"]):
        gateway.faults.next = list(faults)
        with pytest.raises(StoreUnavailable):
            await gateway.exchange(first)
    assert (await gateway.exchange(first)).session.generation == 2
    assert gateway.holds(first)
    assert gateway.results() == ["store_unavailable", "store_unavailable", "repeated"]


async def test_an_exchange_that_never_wins_fails_for_now(gateway: Gateway, home: House) -> None:
    other, first = await home.gateway(), await gateway.login()
    gateway.faults.keep_coming_between(lambda: other.touch(first.session.sid))
    with pytest.raises(StoreUnavailable, match="keeps changing"):
        await gateway.exchange(first)


async def test_rotations_that_the_store_lost_are_healed(gateway: Gateway) -> None:
    """C103"""
    first = await gateway.login()
    ahead = first.session._replace(generation=3)
    healed = await gateway.exchange(make_refresh_token(ahead, RING.refresh_key(T0), ISSUER, "opaque"))
    assert healed.session.generation == 4
    [event] = [each for each in gateway.events if isinstance(each, Exchanged)]
    assert event.healed == 2


async def test_a_narrower_scope_is_for_this_access_token(gateway: Gateway) -> None:
    """C93, C94, C177"""
    first = await gateway.login()
    with pytest.raises(errors.InvalidScope):
        await gateway.exchange(first, scope="admin")
    narrow = await gateway.exchange(first, scope="orders:read")
    assert gateway.service.own_claims(narrow.access_token, T0)["scope"] == narrow.scope == "orders:read"
    assert (await gateway.exchange(narrow)).scope == "orders:read orders:write"


async def test_either_format_of_refresh_token_is_taken(home: House) -> None:
    opaque, jwt = await home.gateway(), await home.gateway(refresh={"format": "jwt"})
    first = await opaque.login()
    second = await jwt.exchange(first)
    assert refresh_token(first).startswith("rt1.")
    assert refresh_token(second).count(".") == 2
    assert (await opaque.exchange(second)).session.generation == 3


async def test_a_key_that_was_withdrawn_does_not_stop_a_repetition(gateway: Gateway) -> None:
    first = await gateway.login()
    second = await gateway.exchange(first)
    gateway.keys.current = keyring(private_jwk(make_key("EdDSA", "k9"), T0 - 9), refresh_jwk(1, T0 - 9), now=T0)
    again = await gateway.exchange(first)
    assert again.refresh_token == second.refresh_token
    assert gateway.service.own_claims(again.access_token, T0)["gen"] == 2


# --- theft


async def test_a_replaced_token_ends_the_session_everywhere(home: House) -> None:
    """C77, C78, C79, C174"""
    here, there = await home.gateway(), await home.gateway()
    first = await here.login()
    second = await here.exchange(first)
    third = await here.exchange(second)
    with pytest.raises(errors.ReusedRefreshToken):
        await here.exchange(first, address="203.0.113.0")
    [event] = [each for each in here.events if isinstance(each, SessionOver)]
    assert (event.reason, event.distance, event.address) == (EndReason.REUSE, 2, "203.0.113.0")
    assert not here.holds(third)
    await there.catch_up()
    assert not there.holds(third)
    with pytest.raises(errors.EndedSession):
        await there.exchange(third)
    assert there.ends() == []


async def test_a_theft_that_is_found_twice_at_once_is_one_alarm(home: House) -> None:
    gateways = [await home.gateway() for _ in range(2)]
    first = await gateways[0].login()
    third = await gateways[0].exchange(await gateways[0].exchange(first))
    tries = [gateways[number % 2].exchange(first) for number in range(6)]
    refusals = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, errors.ReusedRefreshToken) for each in refusals) == 1
    assert sum(isinstance(each, errors.EndedSession) for each in refusals) == 5
    assert gateways[0].ends() + gateways[1].ends() == [EndReason.REUSE]
    with pytest.raises(errors.EndedSession):
        await gateways[0].exchange(third)


async def test_a_theft_that_the_store_cannot_note_is_one_alarm_and_holds_here(gateway: Gateway) -> None:
    first = await gateway.login()
    third = await gateway.exchange(await gateway.exchange(first))
    gateway.faults.next = ["away", "away"]
    with pytest.raises(StoreUnavailable):
        await gateway.exchange(first)
    assert not gateway.holds(third)
    assert gateway.owes()
    for token in (first, third):
        with pytest.raises(errors.EndedSession):
            await gateway.exchange(token)
    assert gateway.ends() == [EndReason.REUSE, EndReason.RESTORED]


async def test_a_theft_is_told_of_even_if_the_thief_does_not_wait(gateway: Gateway) -> None:
    first = await gateway.login()
    await gateway.exchange(await gateway.exchange(first))
    await gave_up(gateway, gateway.exchange(first))
    await until(lambda: gateway.results()[-1:] == ["reused_refresh_token"])
    assert gateway.ends() == [EndReason.REUSE]
    assert not gateway.holds(first)


async def test_who_hangs_up_in_the_middle_of_a_logout_is_logged_out(gateway: Gateway) -> None:
    issued = await gateway.login()
    await gave_up(gateway, gateway.service.end(issued.session.sid, EndReason.LOGOUT))
    await until(lambda: gateway.ends() == [EndReason.LOGOUT])
    assert not gateway.holds(issued)


async def test_work_that_fails_after_its_client_left_bothers_nobody(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    first = await gateway.login()
    await gateway.exchange(first)
    gateway.faults.next = ["away", "away"]
    await gave_up(gateway, gateway.exchange((await gateway.exchange(first)).refresh_token or ""))
    await until(lambda: gateway.results()[-1:] == ["store_unavailable"])
    await asyncio.sleep(0.01)
    gc.collect()
    assert not caplog.records


async def test_an_early_exchange_can_end_the_session(home: House) -> None:
    """C105"""
    gateway = await home.gateway(exchange={"early": "theft"})
    first = await gateway.login()
    with pytest.raises(errors.SuspectedTheft):
        await gateway.exchange(first)
    assert not gateway.holds(first)
    assert gateway.ends() == [EndReason.EARLY_EXCHANGE]
    await gateway.login()


async def test_an_early_exchange_can_be_put_off(home: House) -> None:
    """C104"""
    gateway = await home.gateway(exchange={"early": "reject"})
    first = await gateway.login()
    with pytest.raises(errors.StillValid) as refused:
        await gateway.exchange(first)
    assert refused.value.retry_after == 540
    home.clock.now += 540
    assert (await gateway.exchange(first)).session.generation == 2


async def test_a_logged_out_token_raises_no_alarm(gateway: Gateway) -> None:
    """C81"""
    first, other = await gateway.login(), await gateway.login()
    third = await gateway.exchange(await gateway.exchange(first))
    assert await gateway.service.end(first.session.sid, EndReason.LOGOUT)
    for token in (first, third):
        with pytest.raises(errors.EndedSession):
            await gateway.exchange(token)
    assert gateway.ends() == [EndReason.LOGOUT]
    assert (await gateway.exchange(other)).session.generation == 2


async def test_an_expired_session_gives_nothing(gateway: Gateway, home: House) -> None:
    """C83, C176"""
    first = await gateway.login()
    home.clock.now += 7 * 86400
    with pytest.raises(errors.ExpiredSession):
        await gateway.exchange(first)


# --- who presents


async def test_a_forged_token_changes_nothing(gateway: Gateway) -> None:
    """C82"""
    first = await gateway.login()
    await gateway.exchange(await gateway.exchange(first))
    number = len(gateway.store.commits)
    forged = first.session._replace(salt=b"othersal")
    unknown = first.session._replace(sid="AAAAAAAAAAAAAAAAAAAAAA")
    tokens = [make_refresh_token(each, RING.refresh_key(T0), ISSUER, "opaque") for each in (forged, unknown)]
    for token in [*tokens, "junk", refresh_token(first)[:-1], refresh_token(first)[:-1] + "!"]:
        with pytest.raises(errors.UnknownRefreshToken):
            await gateway.exchange(token)
        assert await gateway.service.session_of(token) is None
    assert len(gateway.store.commits) == number
    assert gateway.ends() == []


async def test_another_client_changes_nothing(home: House) -> None:
    """C95"""
    gateway = await home.gateway(public_clients=frozenset({"web"}))
    public, confidential = await gateway.login(), await gateway.login(client_id="svc")
    for token, client_id in ((public, "svc"), (confidential, "web"), (confidential, None)):
        with pytest.raises(errors.WrongClient):
            await gateway.exchange(token, client_id)
    assert (await gateway.exchange(public, None)).session.generation == 2
    assert (await gateway.exchange(confidential, "svc")).session.generation == 2


async def test_the_access_token_of_the_pair_can_be_demanded(home: House) -> None:
    """C107-C110"""
    gateway = await home.gateway(exchange={"access_token": "bound"})
    first, other = await gateway.login(), await gateway.login()
    home.clock.now += 700
    with pytest.raises(errors.AccessTokenMissing):
        await gateway.exchange(first)
    for token in (other.access_token, "junk", first.access_token[:-8] + "AAAAAAAA"):
        with pytest.raises(errors.PairMismatch):
            await gateway.exchange(first, access_token=token)
    second = await gateway.exchange(first, access_token=first.access_token)
    with pytest.raises(errors.SuspectedTheft):
        await gateway.exchange(second, access_token=first.access_token)
    assert gateway.ends() == [EndReason.PAIR_MISMATCH]


async def test_an_old_refresh_token_ends_the_session_also_beside_a_forged_access_token(home: House) -> None:
    gateway = await home.gateway(exchange={"access_token": "bound"})
    first = await gateway.login()
    second = await gateway.exchange(first, access_token=first.access_token)
    await gateway.exchange(second, access_token=second.access_token)
    with pytest.raises(errors.ReusedRefreshToken):
        await gateway.exchange(first, access_token="forged")


# --- binding


async def test_older_access_tokens_die_when_parallel_tabs_have_had_their_time(home: House) -> None:
    gateway = await home.gateway(binding="current")
    first = await gateway.login()
    second = await gateway.exchange(first)
    mark = generation_mark(first.session.sid)
    assert gateway.view.before(mark) == 0
    home.clock.now += 10
    assert gateway.view.before(mark) == second.session.generation == 2
    [revocation] = gateway.store.commits[-1].revocations
    assert revocation.level is Level.GENERATION
    assert revocation.until >= second.session.access_expires_at


# --- renew and acknowledge


async def test_an_access_token_that_nears_its_end_is_renewed(gateway: Gateway, home: House) -> None:
    """C115"""
    first = await gateway.login()
    home.clock.now += 540
    fresh = await asyncio.gather(*(gateway.service.renew(first.session.sid, 1) for _ in range(3)))
    assert all(each is not None and each.refresh_token is None and each.expires_in == 600 for each in fresh)
    assert len({each.access_token for each in fresh if each is not None}) == 1
    assert (await gateway.exchange(first)).session.generation == 2


async def test_nothing_is_renewed_for_a_session_that_is_not_there(gateway: Gateway) -> None:
    first = await gateway.login()
    assert await gateway.service.renew("AAAAAAAAAAAAAAAAAAAAAA", 1) is None
    await gateway.service.end(first.session.sid, EndReason.LOGOUT)
    assert await gateway.service.renew(first.session.sid, 1) is None


async def test_a_renewal_that_never_wins_is_given_up(gateway: Gateway, home: House) -> None:
    other, first = await home.gateway(), await gateway.login()
    home.clock.now += 540
    gateway.faults.keep_coming_between(lambda: other.touch(first.session.sid))
    assert await gateway.service.renew(first.session.sid, 1) is None


async def test_the_first_use_closes_the_recovery_window(gateway: Gateway, home: House) -> None:
    """C77"""
    first = await gateway.login()
    second = await gateway.exchange(first)
    for _ in range(2):
        await gateway.service.acknowledge(second.session.sid, 2)
    assert len(gateway.store.commits) == 3
    home.clock.now += 11
    with pytest.raises(errors.ReusedRefreshToken):
        await gateway.exchange(first)


async def test_a_use_that_cannot_be_noted_is_let_go(gateway: Gateway, home: House) -> None:
    other, first = await home.gateway(), await gateway.login()
    await gateway.service.acknowledge("AAAAAAAAAAAAAAAAAAAAAA", 1)
    gateway.faults.keep_coming_between(lambda: other.touch(first.session.sid))
    await gateway.service.acknowledge(first.session.sid, 1)
    session, _ = await other.store.load(first.session.sid)
    assert session is not None
    assert not session.acknowledged


# --- look up


async def test_a_refresh_token_is_looked_up_without_being_exchanged(gateway: Gateway, home: House) -> None:
    first = await gateway.login()
    second = await gateway.exchange(first)
    await gateway.service.acknowledge(first.session.sid, 2)
    number = len(gateway.store.commits)
    for issued in (first, second):
        usable = await gateway.service.usable_session(refresh_token(issued))
        assert usable is not None
        assert usable.sid == first.session.sid
    home.clock.now += 11
    assert await gateway.service.usable_session(refresh_token(first)) is None
    assert await gateway.service.session_of(refresh_token(first)) is not None
    assert await gateway.service.usable_session("junk") is None
    assert len(gateway.store.commits) == number


async def test_the_session_of_a_token_is_found_when_it_is_over(gateway: Gateway) -> None:
    first = await gateway.login()
    await gateway.service.end(first.session.sid, EndReason.LOGOUT)
    session = await gateway.service.session_of(refresh_token(first))
    assert session is not None
    assert gateway.service.is_over(session, T0 * 1000)
    assert await gateway.service.usable_session(refresh_token(first)) is None


async def test_the_store_must_answer_before_a_token_is_called_unknown(gateway: Gateway) -> None:
    first = await gateway.login()
    gateway.asking.next = ["away"]
    with pytest.raises(StoreUnavailable):
        await gateway.service.session_of(refresh_token(first))


async def test_an_expired_access_token_still_says_whose_it_was(gateway: Gateway) -> None:
    first = await gateway.login()
    with pytest.raises(errors.ExpiredToken):
        gateway.service.own_claims(first.access_token, T0 + 10_000)
    claims = gateway.service.own_claims(first.access_token, T0 + 10**8, expired=True)
    assert session_mark(claims["sid"]) == session_mark(first.session.sid)


@pytest.mark.parametrize("claim", [{"sid": 1}, {"gen": "1"}])
async def test_what_our_key_signed_beside_access_tokens_is_none(gateway: Gateway, claim: dict[str, Any]) -> None:
    first = await gateway.login()
    claims = {**gateway.service.own_claims(first.access_token, T0), **claim}
    token = RING.signing_key(T0).sign(claims, typ="at+jwt")
    with pytest.raises(errors.MissingClaim):
        gateway.service.own_claims(token, T0)


async def test_keys_that_are_not_at_hand_are_a_bug(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    first = await gateway.login()

    async def fetch() -> None:
        raise AssertionError

    monkeypatch.setattr(OwnKeys, "lookup", lambda *arguments: Pending(fetch))
    with pytest.raises(TypeError):
        gateway.service.own_claims(first.access_token, T0)
