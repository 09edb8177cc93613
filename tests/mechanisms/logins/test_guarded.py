import asyncio

import pytest

from gateway.mechanisms.logins.base import Attempt, ProvenUser
from gateway.mechanisms.logins.guarded import RESULTS, GuardedLogin
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings
from gateway.model.errors import Declined, LoginUnavailable, Refusal, TooManyAttempts, WrongPassword

RIGHT = Attempt("alice", "right", "192.0.2.1")


class Scripted:
    """Ends each attempt as it was told."""

    def __init__(self) -> None:
        self.end: BaseException | ProvenUser = ProvenUser("alice")
        self.asked = 0
        self.closed = False

    async def prove(self, attempt: Attempt) -> ProvenUser:
        self.asked += 1
        if isinstance(self.end, BaseException):
            raise self.end
        return self.end

    def close(self) -> None:
        self.closed = True


class Door:
    def __init__(self) -> None:
        self.results: list[str] = []
        self.login = Scripted()
        slowing = Slowing(SlowingSettings(free_failures=2), lambda: 0.0)
        self.guarded = GuardedLogin(self.login, slowing, self.results.append)

    async def knock(self, end: BaseException | ProvenUser, times: int = 1) -> None:
        self.login.end = end
        for _ in range(times):
            if isinstance(end, BaseException):
                with pytest.raises(type(end)):
                    await self.guarded.prove(RIGHT)
            else:
                assert await self.guarded.prove(RIGHT) == end


async def test_wrong_passwords_are_slowed_before_the_login_is_asked() -> None:
    door = Door()
    await door.knock(WrongPassword("x"), times=2)
    with pytest.raises(TooManyAttempts):
        await door.guarded.prove(RIGHT)
    assert door.login.asked == 2
    assert door.results == ["wrong_password", "wrong_password", "too_many_attempts"]


async def test_a_declined_sign_up_counts_like_a_wrong_password() -> None:
    door = Door()
    await door.knock(Declined("x"), times=2)
    with pytest.raises(TooManyAttempts):
        await door.guarded.prove(RIGHT)
    assert door.results == ["declined", "declined", "too_many_attempts"]


@pytest.mark.parametrize(
    ("end", "label"),
    [(LoginUnavailable("x"), "unavailable"), (TooManyAttempts("x", retry_after=1), "too_many_attempts")],
)
async def test_what_the_login_could_not_tell_slows_nobody(end: Refusal, label: str) -> None:
    door = Door()
    await door.knock(end, times=5)
    await door.knock(ProvenUser("alice"))
    assert door.results == [label] * 5 + ["ok"]


async def test_a_success_clears_the_way() -> None:
    door = Door()
    for _ in range(3):
        await door.knock(WrongPassword("x"))
        await door.knock(ProvenUser("alice"))
    assert set(door.results) <= set(RESULTS)


async def test_a_bug_slows_nobody_and_is_no_result() -> None:
    door = Door()
    await door.knock(RuntimeError("bug"), times=5)
    assert door.results == []


async def test_a_client_that_hangs_up_has_failed() -> None:
    door = Door()
    await door.knock(asyncio.CancelledError(), times=2)
    with pytest.raises(TooManyAttempts):
        await door.guarded.prove(RIGHT)


def test_it_closes_what_it_guards() -> None:
    door = Door()
    door.guarded.close()
    assert door.login.closed
