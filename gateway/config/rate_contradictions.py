"""Rate limits that count nobody, or cannot count as they say."""

from collections.abc import Iterator, Sequence

from gateway.config.draft import Draft
from gateway.config.mistakes import SettingPath
from gateway.config.rate_limits import RateLimitSettings

Contradiction = tuple[SettingPath, str]


def shared_limits_without_redis(draft: Draft) -> Iterator[Contradiction]:
    state = draft.config.state
    if "state" in draft.broken or (state is not None and state.place.kind != "sqlite"):
        return
    for path, limits in _lists(draft):
        for place, limit in enumerate(limits):
            if limit.shared:
                yield (*path, place, "shared"), "counts are shared through Redis; configure state with a redis:// URL"


def limits_of_callers_on_public_routes(draft: Draft) -> Iterator[Contradiction]:
    for index, route in draft.routes:
        for place, limit in enumerate(route.rate_limits or ()):
            if route.access == "public" and limit.by != "client_address":
                message = f"a public route looks at no token, so it knows no {limit.by}; count by client_address"
                yield ("routes", index, "rate_limits", place, "by"), message


def repeated_limits(draft: Draft) -> Iterator[Contradiction]:
    for path, limits in _lists(draft):
        first: dict[str, int] = {}
        for place, limit in enumerate(limits):
            if first.setdefault(limit.build("").name, place) != place:
                yield (*path, place), f"is the same limit as {path[-1]}[{first[limit.build('').name]}]"


def _lists(draft: Draft) -> Iterator[tuple[SettingPath, Sequence[RateLimitSettings]]]:
    """Yield each list of limits in the file once, with its path."""
    yield ("rate_limits",), draft.config.rate_limits
    if draft.config.sessions is not None:
        yield ("sessions", "rate_limits"), draft.config.sessions.rate_limits
    for index, route in draft.routes:
        yield ("routes", index, "rate_limits"), route.rate_limits or ()
