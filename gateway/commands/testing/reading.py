"""A file of cases as a valid `Cases`, or everything that is wrong with it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.commands.testing.cases import DECISIONS, Caller, Cases
from gateway.config.document import Document, read_document
from gateway.config.load import MAX_FILE, is_about_invalid_members, unreadable
from gateway.config.locate import is_about_key, names_at, plain_error, true_path
from gateway.config.mistakes import ConfigMistakes, Mistake, SettingPath, did_you_mean, shown_text
from gateway.config.schema import Config
from gateway.config.wording import sentence, unknown_setting
from gateway.mechanisms.files import bounded_content
from gateway.model.errors import Refusal


@dataclass(frozen=True, slots=True)
class CasesFile:
    """Valid cases, and the document they came from, which knows the lines."""

    cases: Cases
    document: Document

    def line(self, number: int) -> int:
        """Return the line where a case begins."""
        return self.document.line(("cases", number))


def read_cases(file: Path, environment: Mapping[str, str]) -> CasesFile:
    """Return the cases in a file. Raises ConfigMistakes: all there are, but for those that the configuration shows."""
    try:
        source = bounded_content(file, MAX_FILE)
    except OSError as error:
        raise unreadable(file, error) from error
    document = read_document(source, environment, str(file))
    try:
        cases = Cases.model_validate(document.data)
    except ValidationError as error:
        every = map(plain_error, error.errors(include_url=False))
        errors = [each for each in every if not is_about_invalid_members(each)]
        raise ConfigMistakes([*document.mistakes, *_mistakes(document, errors)]) from error
    if found := [*document.mistakes, *_told(document, _inner(cases))]:
        raise ConfigMistakes(found)
    return CasesFile(cases, document)


def refuse_unknown(file: CasesFile, config: Config) -> None:
    """Raise ConfigMistakes for what the cases name and the configuration does not have."""
    if found := [*_told(file.document, _outer(file.cases, config))]:
        raise ConfigMistakes(found)


def _mistakes(document: Document, errors: Iterable[ErrorDetails]) -> Iterator[Mistake]:
    by_place: dict[SettingPath, list[ErrorDetails]] = {}
    for error in errors:
        by_place.setdefault(true_path(Cases, error["loc"]), []).append(error)
    for path, together in by_place.items():
        if not document.is_broken(path):
            yield document.mistake(path, _message(together))


def _message(errors: list[ErrorDetails]) -> str:
    location = errors[0]["loc"]
    if errors[0]["type"] == "extra_forbidden":
        return unknown_setting(str(location[-1]), names_at(Cases, location[:-1]))
    words = sentence(errors, may_echo=True)
    return f"the name {words}" if is_about_key(location) else words


_Complaint = tuple[SettingPath, str]


def _told(document: Document, complaints: Iterable[_Complaint]) -> list[Mistake]:
    return [document.mistake(path, message) for path, message in complaints]


def _inner(cases: Cases) -> Iterator[_Complaint]:
    """Yield what shows without the configuration."""
    reasons = known_reasons()
    names: set[str] = set()
    for number, case in enumerate(cases.cases):
        if case.name in names:
            yield ("cases", number, "name"), "another case has the same name"
        names.add(case.name)
        for name in case.caller:
            if name is not None and name not in cases.callers:
                yield ("cases", number, "caller"), _unknown("caller", name, cases.callers)
        reason = case.expect.reason
        if reason is not None and reason not in reasons:
            known = {*reasons, *DECISIONS}
            yield ("cases", number, "expect"), _unknown("reason", reason, known)


def _outer(cases: Cases, config: Config) -> Iterator[_Complaint]:
    """Yield what only the configuration shows."""
    routes = {route.id for route in config.routes}
    for name, caller in cases.callers.items():
        yield from _of_caller(("callers", name), caller, config)
    for number, case in enumerate(cases.cases):
        expect, path = case.expect, ("cases", number, "expect")
        if expect.route is not None and expect.route not in routes and not expect.route.startswith("gateway:"):
            yield (*path, "route"), _unknown("route", expect.route, routes)
        if expect.upstream is not None and expect.upstream not in config.upstreams:
            yield (*path, "upstream"), _unknown("upstream", expect.upstream, config.upstreams)
        if case.news_age and config.state is None:
            yield ("cases", number, "news_age"), "without state in the configuration there are no revocations"


def _of_caller(path: SettingPath, caller: Caller, config: Config) -> Iterator[_Complaint]:
    if caller.authenticator is None:
        if len(config.authenticators) != 1:
            names = ", ".join(config.authenticators) or "none"
            yield path, f"says no authenticator, and the configuration has {names}"
    elif caller.authenticator not in config.authenticators:
        yield (*path, "authenticator"), _unknown("authenticator", caller.authenticator, config.authenticators)
    if caller.revoked and config.state is None:
        yield (*path, "revoked"), "without state in the configuration nothing can be revoked"


def known_reasons(parent: type[Refusal] = Refusal) -> frozenset[str]:
    """Return every reason that there is."""
    return frozenset({parent.reason}).union(*(known_reasons(child) for child in parent.__subclasses__()))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    return f'there is no {what} "{shown_text(name)}"{did_you_mean(name, known)}'
