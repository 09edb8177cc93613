"""What one configuration was built from, so that the next can take over what would be built from the same again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar, cast, runtime_checkable

from pydantic import BaseModel

from gateway.config.mistakes import SettingPath
from gateway.mechanisms.base import Resources

T = TypeVar("T")


@runtime_checkable
class Closeable(Protocol):
    """A part that holds threads."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Built:
    """A part, and all that it was built from: its settings, what the files hold that they name, and `context`."""

    part: object = field(compare=False)
    settings: object
    contents: Mapping[Path, bytes | None]
    context: tuple[object, ...]


@dataclass(slots=True)
class Workshop:
    """Builds the parts of one configuration. `former` are those of the one before, `built` those of this one."""

    resources: Resources
    former: Mapping[SettingPath, Built] = field(default_factory=dict)
    built: dict[SettingPath, Built] = field(default_factory=dict)

    def part(self, place: SettingPath, settings: object, build: Callable[[], T], *context: object) -> T:
        """Return the part for the settings at `place`: the former one if it was built from the same, else a new one.

        `context` is what a part depends on beside its settings and the files that these name.
        """
        new = Built(None, settings, self._contents(settings), context)
        former = self.former.get(place)
        part = cast(T, former.part) if former == new else build()
        self.built[place] = Built(part, new.settings, new.contents, new.context)
        return part

    def former_part(self, place: SettingPath, *context: object) -> object:
        """Return the part that was at `place` before, in the same context; None without one."""
        former = self.former.get(place)
        return former.part if former is not None and former.context == context else None

    def new_parts(self) -> Iterator[object]:
        """Yield what was built here and not taken over."""
        before = {id(each.part) for each in self.former.values()}
        return (each.part for each in self.built.values() if id(each.part) not in before)

    def _contents(self, settings: object) -> dict[Path, bytes | None]:
        files = self.resources.files
        return files.digests_of(self.resources.directory / file for file in files_in(settings))


def files_in(settings: object) -> Iterator[Path]:
    """Yield every file that settings name."""
    match settings:
        case Path():
            yield settings
        case BaseModel():
            for _, value in settings:
                yield from files_in(value)
        case Mapping():
            for value in settings.values():
                yield from files_in(value)
        case tuple() | frozenset():
            for value in settings:
                yield from files_in(value)
