"""The configuration file as a valid `Config`, or everything that is wrong with it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.compile import CompileMistakes, compile_mistakes
from gateway.config.contradictions import contradictions
from gateway.config.document import Document, read_document
from gateway.config.draft import Draft, valid_part, whole_draft
from gateway.config.locate import is_about_key, names_at, plain_error, true_path
from gateway.config.mistakes import ConfigMistakes, Mistake, SettingPath
from gateway.config.schema import Config
from gateway.config.wording import sentence, unknown_setting
from gateway.mechanisms.base import offline_resources
from gateway.mechanisms.files import bounded_content

MAX_FILE = 16 * 1024 * 1024
"""Thousands of routes fit in one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration, and the document it came from, which knows the lines."""

    config: Config
    document: Document

    def mistakes(self, error: CompileMistakes) -> ConfigMistakes:
        """Return what the compiler found, with lines."""
        return ConfigMistakes(self.document.mistake(path, message) for path, message in error.mistakes)


def load_config(file: Path, environment: Mapping[str, str], *, has_files: bool = True) -> Loaded:
    """Return the configuration in a file. `environment` is for interpolation. Raises ConfigMistakes: all there are.

    What only shows when the configuration is compiled (files, keys, routes that cannot be told apart) is left to the
    compiler; but if there are mistakes anyway, those are reported with them, unless the files need not be there.
    """
    try:
        source = bounded_content(file, MAX_FILE)
    except OSError as error:
        raise unreadable(file, error) from error
    return load_text(source, environment, file=file, has_files=has_files)


def unreadable(file: Path, error: OSError) -> ConfigMistakes:
    """Return what is wrong with a file that cannot be read."""
    return ConfigMistakes([Mistake(str(file), 0, "", f"cannot be read: {error.strerror}")])


def load_text(
    source: bytes | str, environment: Mapping[str, str], *, file: Path = Path("config.yaml"), has_files: bool = True
) -> Loaded:
    """Return the configuration in a text. `file` is what mistakes call it. Raises ConfigMistakes: all there are."""
    document = read_document(source, environment, str(file))
    config, errors = _validated(document)
    draft = _draft(document, config, errors)
    found = [
        *document.mistakes,
        *_mistakes(document, errors),
        *(document.mistake(path, message) for path, message in contradictions(draft)),
    ]
    if found or config is None:
        raise ConfigMistakes([*found, *(_compile_mistakes(document, draft, file.parent) if has_files else ())])
    return Loaded(config, document)


def _compile_mistakes(document: Document, draft: Draft, directory: Path) -> Iterator[Mistake]:
    config = draft.config
    if "sessions" in draft.broken:
        others = {name: each for name, each in config.authenticators.items() if each.type != "issued"}
        config = config.model_copy(update={"authenticators": others})
    for path, message in compile_mistakes(config, offline_resources(directory)):
        yield document.mistake(draft.place_in_file(path), message)


def _validated(document: Document) -> tuple[Config | None, list[ErrorDetails]]:
    try:
        return Config.model_validate(document.data), []
    except ValidationError as error:
        errors = map(plain_error, error.errors(include_url=False))
        return None, [each for each in errors if not is_about_invalid_members(each)]


def is_about_invalid_members(error: ErrorDetails) -> bool:
    """Say whether pydantic only found too few members because it does not count the invalid ones."""
    given = error["input"]
    return error["type"] == "too_short" and isinstance(given, list | dict) and len(given) >= error["ctx"]["min_length"]


def _draft(document: Document, config: Config | None, errors: list[ErrorDetails]) -> Draft:
    if config is not None and not document.broken:
        return whole_draft(config)
    return valid_part(document.data, document.broken.union(true_path(Config, error["loc"]) for error in errors))


def _mistakes(document: Document, errors: list[ErrorDetails]) -> Iterator[Mistake]:
    """Yield one mistake for each value or name that is wrong."""
    by_place: dict[tuple[SettingPath, bool], list[ErrorDetails]] = {}
    for error in errors:
        place = true_path(Config, error["loc"]), is_about_key(error["loc"])
        by_place.setdefault(place, []).append(error)
    for (path, is_name), together in by_place.items():
        if not document.is_broken(path):
            yield document.mistake(path, _message(document, path, is_name, together))


def _message(document: Document, path: SettingPath, is_name: bool, errors: list[ErrorDetails]) -> str:
    location = errors[0]["loc"]
    if errors[0]["type"] == "extra_forbidden":
        return unknown_setting(str(location[-1]), names_at(Config, location[:-1]))
    if is_name:
        return f"the name {sentence(errors, may_echo=False)}"
    return sentence(errors, may_echo=path not in document.from_environment and not _is_secret(path))


_SECRET = re.compile(r"secret|password|key", re.IGNORECASE)


def _is_secret(path: SettingPath) -> bool:
    """Say whether a setting, or the list it is in, is called like a secret: people write those where hashes belong."""
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return _SECRET.search(name) is not None
