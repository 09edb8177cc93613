"""Who asks: known where a request is taken, wanted where something happens because of it.

It goes along as a context variable, so that what happens in between need not know of it, and into the tasks that are
begun meanwhile.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Asker:
    """One request, as far as it is known. `login` is the name that somebody claims to have."""

    request_id: str | None = None
    address: str | None = None
    actor: str | None = None
    endpoint: str | None = None
    client_id: str | None = None
    login: str | None = None


ASKER: ContextVar[Asker | None] = ContextVar("asker", default=None)


def note_login(name: str) -> None:
    """Note who somebody claims to be."""
    if (asker := ASKER.get()) is not None:
        asker.login = name


def note_actor(actor: str) -> None:
    """Note who has proven to be the one who asks."""
    if (asker := ASKER.get()) is not None:
        asker.actor = actor
