"""The configuration in force, with defaults filled in, as operators may see it: without secrets."""

import re
from collections.abc import Collection
from typing import Any

from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config

HIDDEN = "<hidden>"
FROM_ENVIRONMENT = "<from the environment>"
_SECRET = re.compile(r"(?:password|secret|token|hash|hashes|headers)$")
"""What holds a secret itself is called so; `…_file` names a file, which is no secret."""
_URL_WITH_USER = re.compile(r"(?<=://)[^/?#\s]*@")
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)


def shown_config(config: Config, from_environment: Collection[SettingPath]) -> dict[str, Any]:
    """Return the settings as JSON. Those `from_environment` are not in the file, and may be secrets."""
    shown: dict[str, Any] = _shown(config.model_dump(mode="json"), (), frozenset(from_environment))
    return shown


def _shown(value: Any, path: SettingPath, hidden: frozenset[SettingPath]) -> Any:
    if path in hidden:
        return FROM_ENVIRONMENT
    if isinstance(value, dict):
        return {name: _shown(below, (*path, name), hidden) for name, below in value.items()}
    if value and path and _holds_secret(path[-1], value):
        return HIDDEN
    if isinstance(value, list):
        return [_shown(below, (*path, number), hidden) for number, below in enumerate(value)]
    return _without_secrets(value) if isinstance(value, str) else value


def _holds_secret(name: str | int, value: Any) -> bool:
    return isinstance(value, str | list) and isinstance(name, str) and _SECRET.search(name) is not None


def _without_secrets(text: str) -> str:
    """Return text without the user and the query of a URL: they are where people put passwords and tokens."""
    if "://" not in text:
        return text
    return _QUERY.sub(HIDDEN, _URL_WITH_USER.sub(f"{HIDDEN}@", text))
