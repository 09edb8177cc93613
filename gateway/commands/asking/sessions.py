"""Sessions, listed and ended through the admin API of a gateway."""

from typing import Any
from urllib.parse import quote

from gateway.commands.asking.client import AdminClient, NotThere


async def sessions_of(client: AdminClient, subject: str, device: str | None) -> list[dict[str, Any]]:
    """Return the sessions of a subject, or those of one of its devices. Raises NoAnswer or NotLetIn."""
    answer = await client.ask(f"/subjects/{segment(subject)}/sessions", parameters=_parameters(device))
    sessions: list[dict[str, Any]] = answer["sessions"]
    return sessions


async def end_sessions(client: AdminClient, subject: str, device: str | None) -> int:
    """End the sessions of a subject, or those of one of its devices. Return their number."""
    answer = await client.ask(f"/subjects/{segment(subject)}/sessions", "DELETE", _parameters(device))
    return int(answer["ended"])


async def end_session(client: AdminClient, session_id: str) -> int:
    """End one session. Return how many ended."""
    try:
        await client.ask(f"/sessions/{segment(session_id)}", "DELETE")
    except NotThere:
        return 0
    return 1


def segment(text: str) -> str:
    """Return one segment of a path. A segment of dots alone would be a way up, so dots are encoded as well."""
    return quote(text, safe="").replace(".", "%2E")


def _parameters(device: str | None) -> dict[str, str] | None:
    return None if device is None else {"device": device}
