import asyncio
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.mechanisms.logins.base import Attempt
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings, Ticket
from gateway.model.errors import TooManyAttempts

HOME, OFFICE = "192.0.2.1", "198.51.100.1"


class Brake:
    """A Slowing with a clock to set. `delays` are the delays that were asked for; they take no time, unless `gate`."""

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        self.delays: list[float] = []
        self.gate: asyncio.Event | None = None
        self.slowing = Slowing(SlowingSettings(**settings), lambda: self.now, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.delays.append(seconds)
        if self.gate is not None:
            await self.gate.wait()

    async def before(self, account: str = "alice", address: str = HOME) -> Ticket:
        return await self.slowing.before(Attempt(account, "guess", address))

    async def fail(self, account: str = "alice", address: str = HOME, times: int = 1) -> None:
        for _ in range(times):
            await self.before(account, address)

    async def succeed(self, account: str = "alice", address: str = HOME) -> None:
        self.slowing.succeeded(await self.before(account, address))

    async def wait(self, account: str = "alice", address: str = HOME) -> int:
        """Return the seconds after which an attempt would be let in. Counts one if it is let in now."""
        try:
            await self.before(account, address)
        except TooManyAttempts as refusal:
            return refusal.retry_after
        return 0


async def test_each_failure_beyond_the_free_ones_doubles_the_wait() -> None:
    brake = Brake(free_failures=3, first_wait=2, longest_wait=20)
    waits = []
    for _ in range(9):
        waits.append(await brake.wait())
        if waits[-1]:
            brake.now += waits[-1]
            await brake.fail()
    assert waits == [0, 0, 0, 2, 4, 8, 16, 20, 20]


async def test_a_refused_attempt_does_not_prolong_the_wait() -> None:
    """A lock-out by hammering."""
    brake = Brake(free_failures=1, first_wait=10)
    await brake.fail()
    for _ in range(100):
        assert await brake.wait() == 10
    brake.now += 9.5
    assert await brake.wait() == 1
    brake.now += 0.5
    assert await brake.wait() == 0


async def test_a_success_clears_the_account_in_this_network() -> None:
    brake = Brake(free_failures=2, first_wait=10)
    await brake.fail(times=1)
    await brake.succeed()
    await brake.fail(times=2)
    assert await brake.wait() == 10


async def test_failures_are_forgotten_after_a_while() -> None:
    brake = Brake(free_failures=2, first_wait=10, longest_wait=10, forget_after=60)
    await brake.fail(times=2)
    brake.now += 60
    await brake.fail(times=2)
    assert await brake.wait() == 10


async def test_many_at_once_are_no_way_around() -> None:
    brake = Brake(free_failures=5)
    results = await asyncio.gather(*(brake.wait() for _ in range(50)))
    assert results.count(0) == 5


async def test_hanging_up_is_no_way_around() -> None:
    """Who says nothing of an attempt has failed: the ticket is dropped with the connection."""
    brake = Brake(free_failures=1)
    await brake.before()
    assert await brake.wait() == 1


async def test_what_nobody_decided_counts_for_nothing() -> None:
    brake = Brake(free_failures=2, address_failures=3, account_failures=3)
    for _ in range(20):
        brake.slowing.undecided(await brake.before())
    await brake.fail(times=2)
    assert await brake.wait() == 1
    assert brake.delays == []


async def test_a_late_undecided_one_does_no_harm_after_a_success() -> None:
    brake = Brake(free_failures=1)
    ticket = await brake.before()
    brake.slowing.succeeded(ticket)
    brake.slowing.undecided(ticket)
    assert await brake.wait() == 0


@pytest.mark.parametrize(
    ("attacker", "owner", "shared"),
    [
        ("203.0.113.7", "203.0.113.200", True),
        ("203.0.113.7", "203.0.114.7", False),
        ("::ffff:203.0.113.7", "203.0.113.200", True),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unix:", "203.0.113.7", False),
    ],
)
async def test_only_those_in_the_owners_network_can_make_the_owner_wait(
    attacker: str, owner: str, shared: bool
) -> None:
    """Lock-out of somebody else by failing on purpose."""
    brake = Brake(free_failures=3)
    await brake.fail(address=attacker, times=3)
    assert (await brake.wait(address=owner) > 0) is shared


async def test_a_botnet_cannot_lock_the_owner_out() -> None:
    """Lock-out from very many networks: the owner is delayed where it was never seen, and not at all at home."""
    brake = Brake(account_failures=10, longest_delay=4)
    await brake.succeed(address=HOME)
    for number in range(500):
        await brake.fail(address=f"10.{number // 250}.{number % 250}.1")
    brake.delays.clear()
    await brake.succeed(address=HOME)
    assert brake.delays == []
    await brake.succeed(address=OFFICE)
    assert brake.delays == [4]
    await brake.succeed(address=OFFICE)
    assert brake.delays == [4]


async def test_the_delay_grows_with_the_failures_of_the_account_and_goes_away() -> None:
    brake = Brake(account_failures=4, account_recovery=10, longest_delay=4)
    for number in range(9):
        await brake.fail(address=f"10.0.{number}.1")
    assert brake.delays == [1, 2, 3, 4, 4]
    brake.now += 50
    await brake.fail(address="10.1.0.1")
    assert brake.delays == [1, 2, 3, 4, 4]


async def test_the_delay_of_one_account_is_not_anothers() -> None:
    brake = Brake(account_failures=1)
    for number in range(5):
        await brake.fail(address=f"10.0.{number}.1")
    brake.delays.clear()
    await brake.fail("bob", OFFICE)
    assert brake.delays == []


async def test_one_address_has_so_many_failures_over_all_accounts() -> None:
    """Password spraying."""
    brake = Brake(address_failures=10, address_recovery=6)
    for number in range(10):
        await brake.fail(f"user{number}")
    assert await brake.wait("another") == 6
    assert await brake.wait("another", "192.0.2.2") == 0
    brake.now += 6
    assert await brake.wait("another") == 0
    assert await brake.wait("another") == 6


async def test_addresses_of_one_ipv6_network_are_one() -> None:
    brake = Brake(address_failures=2)
    for number in range(2):
        await brake.fail(f"user{number}", f"2001:db8::{number}")
    assert await brake.wait("another", "2001:db8::ffff") > 0


async def test_who_logged_in_here_before_is_not_refused_for_the_neighbours() -> None:
    """Lock-out of an office from within: the same address for all."""
    brake = Brake(address_failures=3)
    await brake.succeed("bob")
    for number in range(3):
        await brake.fail(f"user{number}")
    assert await brake.wait("alice") > 0
    for _ in range(20):
        await brake.succeed("bob")


async def test_an_account_of_ones_own_buys_no_guesses() -> None:
    """Spraying, with a login of one's own in between to be forgiven."""
    brake = Brake(address_failures=3, address_recovery=1000)
    await brake.succeed("mallory")
    for number in range(3):
        await brake.fail(f"user{number}")
        await brake.succeed("mallory")
    await brake.succeed("mallory")
    assert await brake.wait("another") > 0


async def test_success_costs_an_address_nothing() -> None:
    brake = Brake(address_failures=2)
    for number in range(50):
        await brake.succeed(f"user{number}")


@pytest.mark.parametrize(
    "other",
    [
        "Alice",
        " ALICE ",
        "ａｌｉｃｅ",
        "alic\u00e9",
        "a\u0301lice",
        "ALİCE",
        "al\u200bice",
        "alice\u00ad",
        "alice\x01",
        "alice\0",
    ],
)
async def test_other_spellings_of_a_name_are_no_way_around(other: str) -> None:
    """Many backends take `Alice`, `alicé` and `alice` for the same."""
    brake = Brake(free_failures=1)
    await brake.fail(other)
    assert await brake.wait("alice") > 0


async def test_another_name_is_not_slowed_along() -> None:
    brake = Brake(free_failures=1)
    await brake.fail("कमल")
    assert await brake.wait("कमला") == 0


async def test_an_account_that_is_spelled_like_anothers_buys_no_guesses() -> None:
    """Some backends tell `Alice` and `alice` apart, and let anybody sign up as either."""
    brake = Brake(free_failures=4)
    await brake.succeed("Alice")
    for _ in range(3):
        await brake.fail("alice")
        await brake.succeed("Alice")
    await brake.fail("alice")
    assert await brake.wait("alice") > 0


async def test_a_network_known_to_one_spelling_is_not_known_to_another() -> None:
    brake = Brake()
    await brake.succeed("Alice")
    assert (await brake.before("alice")).counted


async def test_no_name_or_address_breaks_it() -> None:
    brake = Brake()
    for name in ("", "\0", "\ud800", "x" * 100_000):
        for address in ("", "unix:", "\ud800", "1.2.3.4.5", "%", HOME):
            await brake.fail(name, address)


async def test_a_flood_of_delayed_attempts_is_bounded_and_nobody_is_refused() -> None:
    brake = Brake(account_failures=1, delayed=2)
    brake.gate = asyncio.Event()
    await brake.fail(address="10.9.0.1")
    held = [asyncio.ensure_future(brake.before(address=f"10.0.{number}.1")) for number in range(3)]
    done, _ = await asyncio.wait(held, return_when=asyncio.FIRST_COMPLETED)
    assert done == {held[0]}
    brake.gate.set()
    assert len(await asyncio.gather(*held)) == 3


async def test_who_hangs_up_while_delayed_leaves_nothing_behind() -> None:
    brake = Brake(account_failures=1)
    brake.gate = asyncio.Event()
    await brake.fail(address="10.9.0.1")
    held = asyncio.ensure_future(brake.before(address="10.0.0.1"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    held.cancel()
    await asyncio.wait({held})
    assert held.cancelled()
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_memory_is_bounded() -> None:
    brake = Brake(remembered=100, address_failures=100_000)
    for number in range(1000):
        await brake.succeed(f"user{number}", f"10.0.{number // 250}.{number % 250}")
        await brake.fail(f"other{number}", f"10.1.{number // 250}.{number % 250}")
    slowing = brake.slowing
    sizes = (len(slowing._pairs), len(slowing._known), len(slowing._addresses), len(slowing._accounts))
    assert sizes == (100, 100, 100, 100)


async def test_no_name_or_address_is_kept() -> None:
    brake = Brake()
    await brake.succeed("alice@example.com", "203.0.113.77")
    await brake.fail("alice@example.com", "203.0.113.77")
    ticket = await brake.before("alice@example.com", "203.0.113.77")
    assert "alice" not in repr(ticket)
    assert "203.0" not in repr(ticket)
    assert (await Brake().before()).pair != (await Brake().before()).pair


@pytest.mark.parametrize(
    "settings", [{"first_wait": 10, "longest_wait": 5}, {"longest_wait": 7200}, {"free_failures": 0}, {"first_wait": 0}]
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SlowingSettings(**settings)


async def test_by_default_it_uses_the_real_clock() -> None:
    slowing = Slowing(SlowingSettings(account_failures=1, longest_delay=0.001))
    for number in range(3):
        await slowing.before(Attempt("alice", "guess", f"10.0.{number}.1"))
    assert sys.getsizeof(slowing)
