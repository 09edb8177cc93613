"""Where what became of a request differs from what should have."""

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.commands.testing.cases import Expectation
from gateway.commands.testing.judging import Outcome, Sent


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that was expected, and what there was instead, in words."""

    what: str
    expected: str
    got: str


def differences(expect: Expectation, outcome: Outcome) -> Iterator[Difference]:
    """Yield everything that is not as expected."""
    if expect.wanted is not None and expect.wanted != outcome.decision:
        yield Difference("decision", expect.wanted, _shown_outcome(outcome))
    elif expect.reason is not None and not _is_for(expect.reason, outcome):
        yield Difference("reason", expect.reason, _shown_outcome(outcome))
    if expect.status is not None and expect.status != outcome.status:
        yield Difference(
            "status", str(expect.status), "the upstream's" if outcome.status is None else str(outcome.status)
        )
    if expect.route is not None and expect.route != outcome.route:
        yield Difference("route", expect.route, outcome.route or "none")
    if outcome.sent is not None:
        yield from _of_sent(expect, outcome.sent)


def _of_sent(expect: Expectation, sent: Sent) -> Iterator[Difference]:
    if expect.upstream is not None and expect.upstream != sent.upstream:
        yield Difference("upstream", expect.upstream, sent.upstream)
    if expect.path is not None and expect.path != sent.path:
        yield Difference("path", expect.path, sent.path)
    for name, values in expect.headers.items():
        wanted = values or ()
        got = tuple(value for other, value in sent.headers if other.lower() == name.lower())
        if wanted != got:
            yield Difference(f"header {name}", _shown(wanted), _shown(got))


def _is_for(reason: str, outcome: Outcome) -> bool:
    """Say whether a refusal has this reason, or a narrower one."""
    classes = type(outcome.refusal).__mro__
    return any(getattr(each, "reason", None) == reason for each in classes)


def _shown_outcome(outcome: Outcome) -> str:
    if outcome.refusal is None:
        return outcome.decision
    return f"{outcome.refusal.reason}: {outcome.refusal}"


def _shown(values: tuple[str, ...]) -> str:
    return " and ".join(repr(value) for value in values) or "absent"
