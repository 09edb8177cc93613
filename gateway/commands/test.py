"""`gateway test`: does this configuration let pass whom it should, and nobody else?"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.commands.testing.cases import Case, Request
from gateway.commands.testing.comparing import differences
from gateway.commands.testing.coverage import coverage, shadowed
from gateway.commands.testing.judging import Judge
from gateway.commands.testing.reading import CasesFile, read_cases, refuse_unknown
from gateway.commands.testing.report import Report, Result, as_json, as_junit, as_text
from gateway.commands.testing.standing_in import stand_in
from gateway.config.compile import CompileMistakes
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes, Mistake


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "test",
        help="try a configuration on cases: requests and what shall become of them",
        description="Decide the requests of a file of cases as a gateway with this configuration would, and compare. "
        "Needs no server, no network and none of the keys that the configuration names. "
        "Exit status 0: all is as expected; 1: something is not; 2: a file has mistakes.",
    )
    parser.add_argument("cases", metavar="CASES", type=Path, help="the file of cases")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration; config in CASES if left out")
    parser.add_argument("--format", choices=("text", "json", "junit"), default="text", help="text if left out")
    parser.add_argument("--require-coverage", action="store_true", help="fail while there are routes not tried")
    parser.add_argument("--verbose", action="store_true", help="print what passed, too")


def run(arguments: argparse.Namespace) -> int:
    try:
        file = read_cases(arguments.cases, os.environ)
        report = tried(file, arguments.cases, arguments.config, requires_coverage=arguments.require_coverage)
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    match arguments.format:
        case "json":
            print(as_json(report))
        case "junit":
            print(as_junit(report))
        case _:
            print(as_text(report, verbose=arguments.verbose))
    return 0 if report.passed else 1


def tried(file: CasesFile, place: Path, config: Path | None, *, requires_coverage: bool) -> Report:
    """Return what comes of the cases in the file at `place`. Raises ConfigMistakes."""
    cases = file.cases
    if config is None and cases.config is None:
        raise ConfigMistakes([Mistake(str(place), 0, "config", "is required, or --config")])
    named, environment = config or place.parent / (cases.config or ""), {**os.environ, **cases.environment}
    loaded = load_config(named, environment, has_files=False)
    refuse_unknown(file, loaded.config)
    with TemporaryDirectory() as directory:
        standing = stand_in(loaded.config, Path(directory))
        try:
            judge = Judge(standing, Path(directory))
        except CompileMistakes as error:
            raise loaded.mistakes(error) from error
        results = tuple(_results(file, judge))
    routes = judge.snapshot.routes.routes
    covered = coverage(routes, (result.outcome for result in results))
    return Report(str(place), results, tuple(covered), tuple(shadowed(judge.snapshot)), requires_coverage)


def _results(file: CasesFile, judge: Judge) -> Iterator[Result]:
    for number, case in enumerate(file.cases.cases):
        for request in case.request:
            for caller in case.caller:
                outcome = judge.outcome(file.cases, case, request, caller)
                found = tuple(differences(case.expect, outcome))
                yield Result(case.name, _shown(request, caller, case), file.line(number), outcome, found)


def _shown(request: Request, caller: str | None, case: Case) -> str:
    where = f" on {request.host}" if request.host else ""
    return f"{request.method} {request.path}{where} by {caller or 'nobody'}"
