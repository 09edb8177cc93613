"""Settings of revocation and of new tokens in answers that have no effect, or not the one they seem to have."""

from collections.abc import Iterator

from gateway.config.draft import Draft
from gateway.config.mistakes import SettingPath
from gateway.config.schema import RevocationSettings, RouteSettings
from gateway.mechanisms.authenticators.issued import IssuedSettings

Contradiction = tuple[SettingPath, str]

_RESERVED_IN_ANSWERS = frozenset(
    {
        *("cache-control", "connection", "content-length", "content-type", "date", "keep-alive", "location"),
        *("retry-after", "set-cookie", "trailer", "transfer-encoding", "upgrade", "vary", "www-authenticate"),
    }
)
"""Headers of an answer that mean something else than a token."""


def revocation_without_state(draft: Draft) -> Iterator[Contradiction]:
    if draft.config.state is not None or "state" in draft.broken:
        return
    message = "nothing can be revoked without state, so this has no effect; configure state"
    if draft.config.revocation != RevocationSettings():
        yield ("revocation",), message
    for index, route in draft.routes:
        if route.revocation is not None:
            yield ("routes", index, "revocation"), message


def new_tokens_that_nobody_makes(draft: Draft) -> Iterator[Contradiction]:
    if draft.config.sessions is not None or "sessions" in draft.broken:
        return
    for index, route in draft.routes:
        for setting in _token_settings(route):
            yield ("routes", index, setting), "new tokens are the gateway's own; configure sessions"


def new_tokens_that_nobody_takes(draft: Draft) -> Iterator[Contradiction]:
    known = draft.config.authenticators
    if draft.config.sessions is None or "authenticators" in draft.broken:
        return
    for index, route in draft.routes:
        names = known if route.authenticators is None else route.authenticators
        if any(isinstance(known.get(name), IssuedSettings) for name in names):
            continue
        for setting in _token_settings(route):
            message = "no authenticator of the route takes the gateway's own tokens; it needs one with type: issued"
            yield ("routes", index, setting), message


def refresh_tokens_that_are_never_taken(draft: Draft) -> Iterator[Contradiction]:
    sessions = draft.config.sessions
    for index, route in draft.routes:
        if not route.refresh_inline:
            continue
        path = ("routes", index, "refresh_inline")
        if "token_from" not in draft.broken and "authorization" not in (route.token_from or draft.config.token_from):
            yield path, "refresh tokens are taken from Authorization only; add authorization to token_from"
        if sessions is not None and sessions.exchange.wants_access:
            yield path, "the refresh token comes alone, but sessions.exchange.access_token asks for an access token"


def renewals_that_look_like_theft(draft: Draft) -> Iterator[Contradiction]:
    """A client that lost the header with its renewed token exchanges while that token, which it never saw, is good."""
    sessions = draft.config.sessions
    if sessions is None or sessions.exchange.early == "allow":
        return
    outcome = "ended as stolen" if sessions.exchange.early == "theft" else "refused"
    for index, route in draft.routes:
        if route.renew != "never":
            message = (
                "a client that loses a renewed token would exchange while that is still good, and be "
                f"{outcome}; renew goes with sessions.exchange.early: allow"
            )
            yield ("routes", index, "renew"), message


def headers_of_new_tokens(draft: Draft) -> Iterator[Contradiction]:
    names = draft.config.headers
    for setting, header in (("access_token", names.access_token), ("refresh_token", names.refresh_token)):
        if header.lower() in _RESERVED_IN_ANSWERS:
            yield ("headers", setting), f"{header} has a meaning of its own; choose another header"
    if names.access_token.lower() == names.refresh_token.lower():
        yield ("headers", "refresh_token"), f"{names.refresh_token} is already headers.access_token"


def _token_settings(route: RouteSettings) -> list[str]:
    """Return the settings of a route by which answers may carry new tokens."""
    settings = {"renew": route.renew != "never", "refresh_inline": route.refresh_inline}
    return [name for name, is_on in settings.items() if is_on]
