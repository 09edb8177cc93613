"""An explanation for people, and for programs."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from gateway.config.mistakes import printable
from gateway.insight.explaining.forwarded import Forwarded
from gateway.insight.explaining.steps import Section, Step, StepResult
from gateway.insight.explaining.way import Explanation
from gateway.model.decision import Answer, Deny
from gateway.model.faces import Face

PLAIN_MARKS: Final[Mapping[StepResult, str]] = {"ok": "ok", "no": "NO", "note": "  "}
FANCY_MARKS: Final[Mapping[StepResult, str]] = {"ok": "✓ ", "no": "✗ ", "note": "· "}
_TITLES: Final[Mapping[Section, str]] = {
    "request": "Request",
    "target": "Target",
    "route": "Route",
    "preflight": "CORS preflight",
    "rate_limits": "Rate limits",
    "token": "Token",
    "authenticators": "Authenticators",
    "caller": "Caller",
    "signature": "Header and signature",
    "claims": "Claims",
    "require": "Requirements of the route",
    "upstream": "Upstream",
}
_WIDEST_NAME = 32
_OWN_WORDS: Final = frozenset({"verdict", "reason", "route", "section", "result", "authenticator"})
"""Members that hold nothing of the request: a secret that is spelled like one of their words changes nothing there."""


def as_text(explanation: Explanation, marks: Mapping[StepResult, str]) -> str:
    """Return the steps, aligned, and the verdict at the end, where the eye is."""
    width = min(max(len(step.name) for step in explanation.steps), _WIDEST_NAME)
    lines: list[str] = []
    for (section, authenticator), steps in groupby(explanation.steps, lambda step: (step.section, step.authenticator)):
        lines += ["", _TITLES[section] + (f", by {authenticator}" if authenticator else "")]
        lines += (_line(step, marks, width) for step in steps)
    if explanation.forwarded is not None:
        lines += ["", *_forwarded(explanation.forwarded)]
    lines += ["", *_verdict(explanation)]
    if explanation.face is not None:
        lines += ["", *_face(explanation.face)]
    lines += _disagreements(explanation)
    return "\n".join(printable(line.rstrip()) for line in lines[1:])


def _line(step: Step, marks: Mapping[StepResult, str], width: int) -> str:
    return f"  {marks[step.result]} {step.name:{width}}  {step.detail}"


def _forwarded(forwarded: Forwarded) -> Iterator[str]:
    yield f"The upstream {forwarded.upstream} ({', '.join(forwarded.targets)}) gets"
    for line in forwarded.head:
        yield f"    {line}"
    if forwarded.removed:
        yield f"  removed, as it came from the client: {', '.join(forwarded.removed)}"


def _verdict(explanation: Explanation) -> Iterator[str]:
    match explanation.verdict:
        case Deny(error=error):
            yield f"DENY  {error.status} {error.reason}"
            yield f"      {error}"
        case Answer(status=status, headers=headers):
            yield f"ALLOW  the gateway answers itself: {_status_line(status)}"
            for name, value in headers:
                yield f"    {name}: {value}"
        case _:
            yield "ALLOW"


def _face(face: Face) -> Iterator[str]:
    yield "The client sees"
    yield f"    HTTP/1.1 {_status_line(face.status)}"
    for name, value in face.headers:
        yield f"    {name}: {value}"
    yield f"    {face.body.decode().strip()}"


def _status_line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _disagreements(explanation: Explanation) -> Iterator[str]:
    for words in explanation.disagreements:
        yield ""
        yield f"!!! THIS IS A BUG IN THE GATEWAY: {words}."
        yield "!!! The verdict counts; do not trust the steps. Please report it."


def as_json(explanation: Explanation, hide: Callable[[str], str]) -> dict[str, Any]:
    """Return one JSON object; its keys are always the same. `hide` takes secrets out of each text in it."""
    shown: dict[str, Any] = _hidden(_members(explanation), hide)
    return shown


def _hidden(value: Any, hide: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {name: below if name in _OWN_WORDS else _hidden(below, hide) for name, below in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(below, hide) for below in value]
    return hide(value) if isinstance(value, str) else value


def _members(explanation: Explanation) -> dict[str, Any]:
    verdict, face = explanation.verdict, explanation.face
    error = verdict.error if isinstance(verdict, Deny) else None
    return {
        "verdict": {"Allow": "allow", "Deny": "deny", "Answer": "answer"}[type(verdict).__name__],
        "status": verdict.status if isinstance(verdict, Answer) else None if error is None else error.status,
        "reason": None if error is None else error.reason,
        "detail": None if error is None else str(error),
        "route": None if verdict.route is None else verdict.route.id,
        "steps": [asdict(step) for step in explanation.steps],
        "response": None if face is None else _response(face),
        "forwarded": None if explanation.forwarded is None else asdict(explanation.forwarded),
        "disagreements": explanation.disagreements,
    }


def _response(face: Face) -> dict[str, Any]:
    return {"status": face.status, "headers": dict(face.headers), "body": json.loads(face.body)}
