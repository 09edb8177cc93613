"""What is left of a configuration without its invalid items, so that the rest can be checked in the same run."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gateway.config.listeners import Listener
from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config, RouteSettings

_SECTIONS_OF_ITEMS = frozenset({"listen", "trusted_proxies", "authenticators", "upstreams", "routes"})
"""Where one invalid item is left out, and not the whole section."""
_NOTHING: Mapping[str, Any] = {"listen": (), "upstreams": {}, "routes": ()}
"""What stands for a required section of which nothing is left."""


Reference = tuple[SettingPath, object]
"""Where something is named, and what stands there."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A configuration that may lack its invalid items.

    `names` has, for `upstreams` and `authenticators`, every name in the file, of invalid items too; a section whose
    names cannot be known is absent. `upstreams` and `authenticators` are the places where routes refer to those names,
    routes with other mistakes included. `broken` names the sections with something left out. `indexes` tells where in
    the file the items of a list stand, if some were left out.
    """

    config: Config
    names: Mapping[str, frozenset[str]]
    upstreams: tuple[Reference, ...]
    authenticators: tuple[Reference, ...]
    broken: frozenset[str] = frozenset()
    indexes: Mapping[str, list[int]] = field(default_factory=dict)

    @property
    def routes(self) -> Iterator[tuple[int, RouteSettings]]:
        """The routes, with their place in the file's list."""
        return zip(self.numbers("routes", len(self.config.routes)), self.config.routes, strict=True)

    @property
    def listeners(self) -> Iterator[tuple[int, Listener]]:
        """The listeners, with their place in the file's list."""
        return zip(self.numbers("listen", len(self.config.listen)), self.config.listen, strict=True)

    def place_in_file(self, path: SettingPath) -> SettingPath:
        """Return where in the file a setting of this draft stands."""
        match path:
            case (str(section), int(index), *rest) if section in self.indexes:
                return (section, self.indexes[section][index], *rest)
        return path

    def numbers(self, section: str, length: int) -> Iterable[int]:
        """Return the places in the file of the items of a list."""
        return self.indexes.get(section, range(length))


def whole_draft(config: Config) -> Draft:
    """Return a valid configuration as a draft from which nothing is missing."""
    names = {"upstreams": frozenset(config.upstreams), "authenticators": frozenset(config.authenticators)}
    routes = [{"upstream": route.upstream, "authenticators": route.authenticators} for route in config.routes]
    return Draft(config, names, *_references(routes))


def valid_part(data: Mapping[str, Any], mistaken: Iterable[SettingPath]) -> Draft:
    """Return what is left of the data without the items in which the `mistaken` paths lie."""
    dropped = {path[: 2 if path[0] in _SECTIONS_OF_ITEMS else 1] for path in mistaken if path}
    sections: dict[str, Any] = {}
    indexes: dict[str, list[int]] = {}
    for name, setting in Config.model_fields.items():
        value = data.get(name)
        if isinstance(value, list):
            indexes[name] = [index for index in range(len(value)) if (name, index) not in dropped]
        try:
            if name not in data or (name,) in dropped:
                raise LookupError(name)
            sections[name] = TypeAdapter(setting.rebuild_annotation()).validate_python(_pruned(name, value, dropped))
        except (ValidationError, LookupError):
            sections[name] = _NOTHING[name] if setting.is_required() else setting.get_default()
            indexes.pop(name, None)
    broken = frozenset(str(path[0]) for path in dropped)
    return Draft(
        Config.model_construct(**sections),
        _names(data),
        *_references(data.get("routes")),
        broken=broken,
        indexes=indexes,
    )


def _references(routes: Any) -> tuple[tuple[Reference, ...], tuple[Reference, ...]]:
    """Return where routes, valid or not, name upstreams and authenticators."""
    upstreams: list[Reference] = []
    authenticators: list[Reference] = []
    for index, route in enumerate(routes if isinstance(routes, list) else ()):
        if not isinstance(route, dict):
            continue
        upstreams.append((("routes", index, "upstream"), route.get("upstream")))
        names = route.get("authenticators")
        for place, name in enumerate(names if isinstance(names, list | tuple) else ()):
            authenticators.append((("routes", index, "authenticators", place), name))
    return tuple(upstreams), tuple(authenticators)


def _pruned(name: str, value: Any, dropped: set[SettingPath]) -> Any:
    if isinstance(value, list):
        return [item for index, item in enumerate(value) if (name, index) not in dropped]
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if (name, key) not in dropped}
    return value


def _names(data: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    given = {"authenticators": {}, **data}
    return {
        section: frozenset(given[section])
        for section in ("upstreams", "authenticators")
        if isinstance(given.get(section), dict)
    }
