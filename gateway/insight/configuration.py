"""The configuration in force, with defaults filled in, as operators may see it: without secrets."""

import re
from collections.abc import Collection
from typing import Any

from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config
from gateway.model.settings import Settings

HIDDEN = "<hidden>"
FROM_ENVIRONMENT = "<from the environment>"
_SECRET = re.compile(r"(?:password|secret|hash|hashes)$|^value$")
"""What holds a secret itself is called so; `…_file` names a file, which is no secret. The `value` of a header that
upstreams get may be how they know the gateway."""
_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_USER_OF_STORE = re.compile(r"(?<=://).*@", re.DOTALL)
"""There a password may hold anything (`read_url`)."""
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)


def shown_config(config: Config, from_environment: Collection[SettingPath]) -> dict[str, Any]:
    """Return the settings as JSON. Those `from_environment` are not in the file, and may be secrets."""
    showing = _Showing(frozenset(from_environment))
    shown = showing.of(config, (), but="routes")
    # One by one, as there may be thousands: while one is dumped, no other thread runs.
    shown["routes"] = [showing.of(route, ("routes", number)) for number, route in enumerate(config.routes)]
    return shown


class _Showing:
    def __init__(self, hidden: frozenset[SettingPath]) -> None:
        self._hidden = hidden
        self._with_hidden = frozenset(path[:-1] for path in hidden)

    def of(self, settings: Settings, path: SettingPath, but: str = "") -> dict[str, Any]:
        """Return settings as operators see them, without one of them."""
        value = settings.model_dump(mode="json", by_alias=True, exclude={but})
        kind = settings.model_dump(by_alias=True, exclude={but})
        shown: dict[str, Any] = self._shown(value, kind, path)
        return shown

    def _shown(self, value: Any, kind: Any, path: SettingPath) -> Any:
        """Return a value as operators see it. `kind` is the same value where sets are sets: they have no order, so of
        the members nobody knows which one is hidden."""
        if path in self._hidden or (isinstance(kind, frozenset) and path in self._with_hidden):
            return FROM_ENVIRONMENT
        if isinstance(value, dict):
            return {name: self._shown(below, kind[name], (*path, name)) for name, below in value.items()}
        if value and path and holds_secret(path[-1], value):
            return HIDDEN
        if isinstance(kind, frozenset):
            return sorted(value)
        if isinstance(value, list):
            return [self._shown(below, kind[number], (*path, number)) for number, below in enumerate(value)]
        return without_credentials(value) if isinstance(value, str) else value


def holds_secret(name: str | int, value: Any) -> bool:
    return isinstance(value, str | list) and isinstance(name, str) and _SECRET.search(name) is not None


def without_credentials(text: str) -> str:
    """Return text without the user and the query of a URL: they are where people put passwords and tokens."""
    if "://" not in text:
        return text
    user = _USER_OF_STORE if text.startswith("redis") else _USER
    return _QUERY.sub(HIDDEN, user.sub(f"{HIDDEN}@", text))
