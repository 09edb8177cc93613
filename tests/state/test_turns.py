import asyncio
from contextlib import suppress

from gateway.state.turns import Turns


async def until_blocked() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_turns_are_had_in_the_order_in_which_they_were_wanted() -> None:
    turns, order = Turns(1), []

    async def use(number: int) -> None:
        await turns.wait()
        order.append(number)
        turns.give_back()

    assert turns.take()
    waiting = [asyncio.ensure_future(use(number)) for number in range(3)]
    await until_blocked()
    assert not turns.take()
    assert order == []
    turns.give_back()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2]
    assert turns.free == 1


async def test_who_goes_away_loses_no_turn() -> None:
    """Before it came, and in the moment in which it comes."""
    turns = Turns(1)
    assert turns.take()
    gone, late, third = (asyncio.ensure_future(turns.wait()) for _ in range(3))
    await until_blocked()
    gone.cancel()
    await until_blocked()
    turns.give_back()
    late.cancel()
    with suppress(asyncio.CancelledError):
        await late
    await third
    assert turns.free == 0
    turns.give_back()
    assert turns.take()
