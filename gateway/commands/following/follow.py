"""Asks for decisions again and again, also while the gateway is restarted."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping

from gateway.commands.asking.client import AdminClient, NoAnswer
from gateway.commands.following.seen import Decision, Seen

PAUSE = 1.0
"""Seconds between two questions."""
_LONGEST_PAUSE = 15.0
_MOST = 1000
"""Decisions that one answer may have."""

Tell = Callable[[str], None]


async def follow(
    client: AdminClient, wanted: Mapping[str, str], last: int, tell: Tell
) -> AsyncGenerator[list[Decision], None]:
    """Yield new decisions as they come, at first the `last` ones that are kept.

    Raises NoAnswer if the first question has no answer, and NotLetIn. Later troubles are told, and waited for.
    """
    seen, pause = Seen(), PAUSE
    answer = await client.ask("/decisions", parameters={**wanted, "limit": str(max(last, 1))})
    yield seen.new(answer["decisions"], last)
    while True:
        await asyncio.sleep(pause)
        parameters = {**wanted, "since": repr(seen.since), "limit": str(_MOST)}
        try:
            answer = await client.ask("/decisions", parameters=parameters)
        except NoAnswer as trouble:
            if pause == PAUSE:
                tell(f"{trouble}; asking again")
            pause = max(min(pause * 2, _LONGEST_PAUSE), trouble.retry_after)
            continue
        if pause != PAUSE:
            tell("the gateway answers again")
        pause = PAUSE
        if len(answer["decisions"]) >= _MOST:
            tell("there are more decisions than can be shown; ask for fewer: --reason, --route, --subject …")
        yield seen.new(answer["decisions"])
