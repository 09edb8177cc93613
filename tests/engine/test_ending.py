import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.engine.ending import REMEMBERED
from gateway.model import errors
from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.revocation import FOREVER, Level, Revocation, mark, session_mark
from gateway.model.session import CutOff, EndReason, Issued, SessionOver, TokenRevoked
from tests.engine.session_examples import T0
from tests.engine.session_house import Gateway, House, house
from tests.minting import ISSUER

NOBODY = "AAAAAAAAAAAAAAAAAAAAAA"


@pytest_asyncio.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as built:
        yield built


@pytest_asyncio.fixture
async def gateway(home: House) -> Gateway:
    return await home.gateway()


async def is_refused(gateway: Gateway, issued: Issued) -> bool:
    try:
        await gateway.exchange(issued)
    except errors.EndedSession:
        return True
    return False


# --- one session


async def test_a_logout_holds_here_at_once_and_elsewhere_with_the_news(home: House) -> None:
    """C118"""
    here, there = await home.gateway(), await home.gateway()
    issued = await here.login()
    assert await here.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not here.holds(issued)
    assert there.holds(issued)
    await there.catch_up()
    assert not there.holds(issued)
    assert await is_refused(there, issued)
    [event] = [each for each in here.events if isinstance(each, SessionOver)]
    assert event.reason is EndReason.LOGOUT
    assert here.store.commits[-1].is_durable


@pytest.mark.parametrize("sid", [NOBODY, "", "junk", "é" * 22, "A" * 21, "A" * 43])
async def test_ending_what_is_not_there_is_no_mistake(gateway: Gateway, sid: str) -> None:
    """C119"""
    assert not await gateway.service.end(sid, EndReason.ADMIN)
    assert gateway.ends() == []


async def test_a_session_ends_once(home: House) -> None:
    gateways = [await home.gateway() for _ in range(2)]
    issued = await gateways[0].login()
    tries = [gateways[number % 2].service.end(issued.session.sid, EndReason.LOGOUT) for number in range(6)]
    assert sum(await asyncio.gather(*tries)) == 1
    assert gateways[0].ends() + gateways[1].ends() == [EndReason.LOGOUT]


async def test_the_tokens_of_a_record_that_was_lost_die_too(gateway: Gateway) -> None:
    assert not await gateway.service.end(NOBODY, EndReason.LOGOUT)
    assert gateway.view.before(session_mark(NOBODY)) == FOREVER


async def test_a_revocation_outlives_every_token_of_the_session(gateway: Gateway, home: House) -> None:
    issued = await gateway.login()
    home.clock.now += 60
    await gateway.exchange(issued)
    await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    [revocation] = gateway.store.commits[-1].revocations
    assert revocation.until == T0 + 660 + REMEMBERED


async def test_an_end_whose_reply_was_lost_is_told_once(gateway: Gateway) -> None:
    issued = await gateway.login()
    gateway.faults.next = ["lost"]
    assert await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not gateway.owes()
    assert gateway.ends() == [EndReason.LOGOUT]


async def test_an_end_that_never_wins_fails_for_now_and_holds_here(gateway: Gateway, home: House) -> None:
    other, issued = await home.gateway(), await gateway.login()
    gateway.faults.keep_coming_between(lambda: other.touch(issued.session.sid))
    with pytest.raises(StoreUnavailable, match="keeps changing"):
        await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not gateway.holds(issued)


@pytest.mark.parametrize("faults", [["away", "away"], ["lost", "away"], ["unconfirmed"]])
async def test_an_end_that_nobody_confirms_holds_here_and_is_not_done(gateway: Gateway, faults: list[str]) -> None:
    issued = await gateway.login()
    gateway.faults.next = [*faults]
    with pytest.raises(StoreUnavailable):
        await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not gateway.holds(issued)
    assert gateway.owes()
    assert gateway.ends() == [EndReason.LOGOUT]
    await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not gateway.owes()
    assert gateway.ends() == [EndReason.LOGOUT]
    assert await is_refused(gateway, issued)


async def test_an_end_holds_here_when_the_store_cannot_even_be_asked(gateway: Gateway) -> None:
    issued = await gateway.login()
    gateway.asking.next = ["away"]
    with pytest.raises(StoreUnavailable):
        await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not gateway.holds(issued)


async def test_once_more_after_an_unconfirmed_end_is_only_done_when_it_is_confirmed(gateway: Gateway) -> None:
    issued = await gateway.login()
    gateway.faults.next = ["unconfirmed", "unconfirmed"]
    for _ in range(2):
        with pytest.raises(Unconfirmed):
            await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert not await gateway.service.end(issued.session.sid, EndReason.LOGOUT)


async def test_once_more_long_after_the_end_writes_nothing(gateway: Gateway, home: House) -> None:
    issued = await gateway.login()
    await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    home.clock.now += 86400
    await gateway.service.end(issued.session.sid, EndReason.LOGOUT)
    assert gateway.feed.published == []


# --- what the store lost


async def test_an_end_that_the_store_lost_is_restored(home: House) -> None:
    """Section 4.3: a gateway remembers, and an old token of the session is no theft."""
    gateway = await home.gateway()
    first = await gateway.login()
    third = await gateway.exchange(await gateway.exchange(first))
    gateway.view.add([Revocation(Level.SESSION, session_mark(first.session.sid), FOREVER, T0 + 900, T0 * 1000)])
    for token in (first, third, third):
        assert await is_refused(gateway, token)
    assert gateway.ends() == [EndReason.RESTORED]
    assert await is_refused(await home.gateway(), third)


async def test_a_session_from_before_a_cut_off_is_over(gateway: Gateway, home: House) -> None:
    issued = await gateway.login()
    await gateway.service.cut_off(Level.CLIENT, ISSUER, "web")
    assert gateway.service.is_over(issued.session, T0 * 1000)
    assert await gateway.service.sessions_of("alice") == []
    assert await is_refused(gateway, issued)
    assert gateway.ends() == [EndReason.ADMIN]


# --- a device


async def test_only_the_sessions_of_a_device_end_with_it(gateway: Gateway) -> None:
    phone = await gateway.login(device="phone")
    laptop = await gateway.login(device="laptop")
    other = await gateway.login("bob", device="phone")
    assert await gateway.service.sessions_of("alice", "phone") == [phone.session]
    assert await gateway.service.end_device("alice", "phone", EndReason.ADMIN) == 1
    assert await is_refused(gateway, phone)
    assert await gateway.service.sessions_of("alice") == [laptop.session]
    assert await gateway.service.sessions_of("bob") == [other.session]
    assert await gateway.service.end_device("alice", "phone", EndReason.ADMIN) == 0


# --- a subject


async def test_all_sessions_of_a_subject_end_and_no_others(home: House) -> None:
    """C175"""
    here, there = await home.gateway(), await home.gateway()
    issued, other = [await here.login() for _ in range(3)], await here.login("bob")
    assert await here.service.end_subject("alice", EndReason.CREDENTIAL_CHANGE) == 3
    assert here.ends() == [EndReason.CREDENTIAL_CHANGE] * 3
    await there.catch_up()
    for gateway in (here, there):
        assert [gateway.holds(each) for each in (*issued, other)] == [False] * 3 + [True]
        assert [await is_refused(gateway, each) for each in issued] == [True] * 3
    assert not await is_refused(there, other)
    assert await here.service.end_subject("alice", EndReason.ADMIN) == 0


async def test_a_login_in_the_same_second_as_log_out_everywhere_counts(gateway: Gateway) -> None:
    old = await gateway.login()
    await gateway.service.end_subject("alice", EndReason.LOGOUT_ALL)
    new = await gateway.login()
    assert [gateway.holds(each) for each in (old, new)] == [False, True]
    assert (await gateway.exchange(new)).session.generation == 2
    await gateway.service.end_subject("alice", EndReason.LOGOUT_ALL)
    assert not gateway.holds(new)
    assert await is_refused(gateway, new)


async def test_a_login_that_races_with_log_out_everywhere_is_dead(home: House) -> None:
    """It was made up before the cut-off, and committed after the sessions were listed."""
    here, there = await home.gateway(), await home.gateway()

    async def log_out_everywhere() -> None:
        await here.service.end_subject("alice", EndReason.LOGOUT_ALL)

    there.faults.before = log_out_everywhere
    late = await there.login()
    await there.catch_up()
    for gateway in (here, there):
        assert not gateway.holds(late)
    assert await is_refused(there, late)


async def test_a_login_after_the_first_look_ends_with_the_second(home: House) -> None:
    here, there = await home.gateway(), await home.gateway()
    old, late = await here.login(), []

    async def log_in() -> None:
        late.append(await there.login())

    here.faults.before = log_in
    assert await here.service.end_subject("alice", EndReason.LOGOUT_ALL) == 2
    assert [here.holds(each) for each in (old, *late)] == [False, False]
    assert here.ends() == [EndReason.LOGOUT_ALL] * 2


async def test_very_many_sessions_end_in_several_commits(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.ending._TOGETHER", 2)
    for _ in range(5):
        await gateway.login()
    assert await gateway.service.end_subject("alice", EndReason.ADMIN) == 5
    assert [len(commit.changes) for commit in gateway.store.commits[5:]] == [2, 2, 1]


async def test_sessions_that_change_meanwhile_end_all_the_same_or_it_fails(gateway: Gateway, home: House) -> None:
    other, issued = await home.gateway(), await gateway.login()

    async def exchange_once() -> None:
        await other.exchange(issued)

    gateway.faults.before = exchange_once
    assert await gateway.service.end_subject("alice", EndReason.ADMIN) == 1

    fresh = [await other.login()]

    async def exchange_again() -> None:
        fresh.append(await other.exchange(fresh[-1]))

    gateway.faults.keep_coming_between(exchange_again)
    with pytest.raises(StoreUnavailable, match="keep changing"):
        await gateway.service.end_subject("alice", EndReason.ADMIN)
    assert not gateway.holds(fresh[0])


@pytest.mark.parametrize(
    ("asking", "faults"), [(["away"], []), ([], ["away", "away"]), ([None, None, None, "away"], [])]
)
async def test_log_out_everywhere_holds_here_when_the_store_is_away(
    gateway: Gateway, asking: list[str | None], faults: list[str | None]
) -> None:
    issued = [await gateway.login() for _ in range(2)]
    gateway.asking.next, gateway.faults.next = [*asking], [*faults]
    with pytest.raises(StoreUnavailable):
        await gateway.service.end_subject("alice", EndReason.LOGOUT_ALL)
    assert [gateway.holds(each) for each in issued] == [False, False]


# --- cut-offs and single tokens


@pytest.mark.parametrize(
    ("level", "name"), [(Level.EVERYTHING, ""), (Level.ISSUER, ""), (Level.CLIENT, "web"), (Level.SUBJECT, "alice")]
)
async def test_a_cut_off_makes_void_what_was_issued_until_now(home: House, level: Level, name: str) -> None:
    here, there = await home.gateway(), await home.gateway()
    old = await here.login()
    await here.service.cut_off(level, ISSUER, name)
    await there.catch_up()
    new = await there.login()
    for gateway in (here, there):
        assert [gateway.holds(each) for each in (old, new)] == [False, True]
    assert here.events[-1] == CutOff(level.name.lower(), ISSUER, name)


async def test_a_cut_off_of_another_issuer_leaves_ours_alone(gateway: Gateway) -> None:
    issued = await gateway.login()
    for level, name in ((Level.ISSUER, ""), (Level.SUBJECT, "alice"), (Level.CLIENT, "web")):
        await gateway.service.cut_off(level, "https://other.example", name)
    assert gateway.holds(issued)
    assert not await is_refused(gateway, issued)


@pytest.mark.parametrize(("absolute", "until"), [(None, FOREVER), (3600, T0 + 86400 + REMEMBERED)])
async def test_a_cut_off_is_remembered_as_long_as_a_session_lasts(
    home: House, absolute: int | None, until: int
) -> None:
    gateway = await home.gateway(refresh={"absolute": absolute})
    await gateway.service.cut_off(Level.CLIENT, ISSUER, "web")
    assert [each.until for each in gateway.feed.published] == [until]


@pytest.mark.parametrize(("asking", "faults"), [(["away"], []), ([], ["away", "away"]), ([], ["unconfirmed"])])
async def test_a_cut_off_that_nobody_confirms_holds_here_and_is_not_done(
    gateway: Gateway, asking: list[str | None], faults: list[str | None]
) -> None:
    issued = await gateway.login()
    gateway.asking.next, gateway.faults.next = [*asking], [*faults]
    with pytest.raises(StoreUnavailable):
        await gateway.service.cut_off(Level.CLIENT, ISSUER, "web")
    assert not gateway.holds(issued)
    assert not any(isinstance(event, CutOff) for event in gateway.events)
    await gateway.service.cut_off(Level.CLIENT, ISSUER, "web")
    assert not gateway.owes()


async def test_a_single_access_token_is_made_void(home: House) -> None:
    here, there = await home.gateway(), await home.gateway()
    issued = await here.login()
    claims = here.service.own_claims(issued.access_token, T0)
    here.faults.next = ["lost"]
    await here.service.revoke_token(claims)
    await there.catch_up()
    name = mark(Level.TOKEN, ISSUER, claims["jti"])
    assert here.view.before(name) == there.view.before(name) == FOREVER
    assert not await is_refused(there, issued)
    assert here.events[-1] == TokenRevoked(claims["jti"], claims["sub"], "web")


async def test_a_single_access_token_is_void_here_when_the_store_is_away(gateway: Gateway) -> None:
    claims = gateway.service.own_claims((await gateway.login()).access_token, T0)
    gateway.faults.next = ["away", "away"]
    with pytest.raises(StoreUnavailable):
        await gateway.service.revoke_token(claims)
    assert gateway.view.before(mark(Level.TOKEN, ISSUER, claims["jti"])) == FOREVER
