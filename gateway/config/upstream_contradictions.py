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


def ejection_without_another_target(draft: Draft) -> Iterator[Contradiction]:
    for name, upstream in draft.config.upstreams.items():
        if upstream.ejection != "never" and "ejection" in upstream.model_fields_set and len(upstream.targets) == 1:
            yield ("upstreams", name, "ejection"), "there is no other target, so ejection has no effect"
