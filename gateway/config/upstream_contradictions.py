"""Settings of upstreams that are wrong together."""

from collections.abc import Iterator

from gateway.config.draft import Draft
from gateway.config.mistakes import SettingPath

Contradiction = tuple[SettingPath, str]


def repeated_targets(draft: Draft) -> Iterator[Contradiction]:
    for name, upstream in draft.config.upstreams.items():
        first: dict[str, int] = {}
        for place, target in enumerate(upstream.targets):
            if first.setdefault(str(target), place) != place:
                path = ("upstreams", name, "targets", place)
                yield path, f"{target} is already targets[{first[str(target)]}]"
