"""What came of the cases: for people, for programs, and as JUnit's XML, which most CI systems show."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree

from gateway.commands.testing.comparing import Difference
from gateway.commands.testing.coverage import Covered, Shadowed
from gateway.commands.testing.judging import Outcome
from gateway.config.mistakes import printable


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request of a case. It passed if there are no `differences`."""

    case: str
    request: str
    line: int
    outcome: Outcome
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a file of cases."""

    file: str
    results: tuple[Result, ...]
    coverage: tuple[Covered, ...]
    shadowed: tuple[Shadowed, ...]
    requires_coverage: bool = False

    @property
    def passed(self) -> bool:
        is_covered = not self.shadowed and not any(each.lacks for each in self.coverage)
        return all(result.passed for result in self.results) and (is_covered or not self.requires_coverage)


def as_text(report: Report, *, verbose: bool) -> str:
    """Return the failures, what the cases leave out, and a summary at the end, where the eye is."""
    lines: list[str] = []
    for result in report.results:
        if not result.passed:
            lines += [f"FAILED {report.file}:{result.line}: {result.case}", *_failure(result), ""]
        elif verbose:
            lines.append(f"ok     {result.case}: {result.request}")
    lines += [""] if lines and lines[-1] else []
    lines += _uncovered(report)
    failed = sum(not result.passed for result in report.results)
    passed = len(report.results) - failed
    covered = sum(not each.lacks for each in report.coverage)
    lines.append(f"{passed} passed, {failed} failed; {covered} of {len(report.coverage)} routes covered")
    return "\n".join(printable(line) for line in lines)


def _failure(result: Result) -> Iterator[str]:
    yield f"  {result.request}"
    for difference in result.differences:
        yield f"    {difference.what}"
        yield f"      - {difference.expected}"
        yield f"      + {difference.got}"
    if result.outcome.why:
        yield "    why"
        for step in result.outcome.why:
            by = f" (by {step.authenticator})" if step.authenticator else ""
            yield f"      {step.name}{by}: {step.detail}"


def _uncovered(report: Report) -> Iterator[str]:
    for each in report.coverage:
        if each.lacks:
            yield f"route {each.route}: {' and '.join(each.lacks)} in these cases"
    yield from (str(each) for each in report.shadowed)
    if report.shadowed or any(each.lacks for each in report.coverage):
        yield ""


def as_json(report: Report) -> str:
    """Return everything."""
    document = {
        "file": report.file,
        "passed": report.passed,
        "results": [_result(result) for result in report.results],
        "coverage": [asdict(each) for each in report.coverage],
        "shadowed": [asdict(each) for each in report.shadowed],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _result(result: Result) -> dict[str, Any]:
    outcome = result.outcome
    return {
        "case": result.case,
        "request": result.request,
        "line": result.line,
        "passed": result.passed,
        "decision": outcome.decision,
        "route": outcome.route,
        "status": outcome.status,
        "reason": None if outcome.refusal is None else outcome.refusal.reason,
        "differences": [asdict(difference) for difference in result.differences],
    }


def as_junit(report: Report) -> str:
    """Return JUnit's XML. What the cases leave out is a failure only where coverage is required."""
    failures = sum(not result.passed for result in report.results)
    lacking = list(filter(None, _uncovered(report))) if report.requires_coverage else []
    tests = len(report.results) + report.requires_coverage
    count = {"tests": str(tests), "failures": str(failures + bool(lacking))}
    suite = ElementTree.Element("testsuite", {"name": printable(report.file), **count})
    for result in report.results:
        place = {"classname": result.case, "name": result.request, "file": report.file, "line": str(result.line)}
        _add(suite, place, [] if result.passed else list(_failure(result))[1:])
    if report.requires_coverage:
        _add(suite, {"classname": "coverage", "name": "every route is covered"}, lacking)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suite, encoding="unicode")


def _add(suite: ElementTree.Element, attributes: dict[str, str], failure: list[str]) -> None:
    case = ElementTree.SubElement(suite, "testcase", {name: printable(text) for name, text in attributes.items()})
    if failure:
        text = "\n".join(printable(line) for line in failure)
        message = printable(failure[0].strip())
        ElementTree.SubElement(case, "failure", {"message": message}).text = text
