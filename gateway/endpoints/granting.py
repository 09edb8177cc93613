"""What scope a new session gets: never more than its client may, and never more than was asked for."""

from gateway.endpoints.clients import Client
from gateway.model.errors import InvalidScope


def granted_scope(client: Client, available: str, asked: str | None) -> str:
    """Return the scope to grant of what is available to the user. Raises InvalidScope if more is asked for."""
    bound = client.settings.scope
    names = [name for name in dict.fromkeys(available.split()) if bound is None or name in bound.split()]
    if asked is None:
        return " ".join(names)
    if not set(asked.split()) <= set(names):
        raise InvalidScope(f"granted: {' '.join(names)!r}")
    return asked
