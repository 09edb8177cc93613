"""After a reload: what has no end of its own, and would be refused by the new rules, is cut.

A request keeps the Snapshot that it began with, and soon ends. An upgraded connection or an answer without announced
length may go on for days, past the removal of its route, its issuer or its permission. So each is asked about once
more, at the reload or when it turns out to be such a one afterwards: would it have been let in under the new rules, at
the time when it came? Where nobody can say, it goes on; expiry, revocations and stale news are the affair of the
tunnel and the sweep.
"""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Final

from gateway.config.snapshot import Snapshot
from gateway.model.decision import Pending
from gateway.model.errors import Refusal
from gateway.proxy.relay import Relay

if TYPE_CHECKING:
    from gateway.proxy.client import ClientConnection
    from gateway.proxy.plane import DataPlane

_TOGETHER: Final = 20
"""How many are judged before others have their turn: a token may have to be verified anew."""
_ROUNDS: Final = 3
"""How often one may wait for keys."""


async def judge_again(plane: "DataPlane", snapshot: Snapshot) -> None:
    """Judge what began under former Snapshots and may go on for long."""
    for number, connection in enumerate(list(plane.connections), 1):
        await judge_connection(plane, snapshot, connection)
        if number % _TOGETHER == 0:
            await asyncio.sleep(0)


async def judge_connection(plane: "DataPlane", snapshot: Snapshot, connection: "ClientConnection") -> None:
    """Judge what is under way on one of them."""
    relay = connection.relay
    if relay is None or not _may_last(relay) or relay.snapshot is snapshot:
        return
    try:
        refusal = await _refusal(plane, snapshot, relay)
        if refusal is not None and connection.relay is relay:
            relay.cut(refusal)
    except Exception as error:  # noqa: BLE001 - fail closed, and let no bug in one save the others
        plane.report_bug("judging again", error)
        connection.abort()


def _may_last(relay: Relay) -> bool:
    return relay.allow is not None and relay.is_endless


async def _refusal(plane: "DataPlane", snapshot: Snapshot, relay: Relay) -> Refusal | None:
    came_at = plane.clock() - (monotonic() - relay.started_at)
    upgrade = None if relay.tunnel is None else relay.upgrade
    for _ in range(_ROUNDS):
        judged = snapshot.gatekeeper.would_refuse(relay.request, came_at, upgrade=upgrade)
        if not isinstance(judged, Pending):
            return judged
        await judged.ready()
    return None
