"""`gateway doctor`: is this host, and are those around it, as this configuration needs them?"""

import argparse
import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from gateway.commands.doctoring.examination import examined
from gateway.commands.doctoring.finding import Finding, Patient, problem
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import Loaded, load_config
from gateway.config.mistakes import ConfigMistakes, printable
from gateway.mechanisms.base import offline_resources

_WORST_LAST = ("ok", "advice", "problem")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="look at what a deployment needs, and say what to do",
        description="Look at this host and at the store, issuers and upstreams of a configuration; say what to do. "
        "Run it where the gateway runs, as its user. Changes nothing, and prints no secret. "
        "Exit status 0: no problem; 1: there is one.",
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yaml"), metavar="FILE", help="config.yaml if left out"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="text if left out")
    parser.add_argument("--offline", action="store_true", help="ask nobody else")


def run(arguments: argparse.Namespace) -> int:
    found = findings(arguments.config, offline=arguments.offline)
    found.sort(key=lambda finding: _WORST_LAST.index(finding.level))
    print(as_json(found) if arguments.format == "json" else as_text(found))
    return 1 if any(finding.level == "problem" for finding in found) else 0


def findings(file: Path, *, offline: bool) -> list[Finding]:
    """Return what there is to say of the deployment of the configuration in a file."""
    try:
        loaded = load_config(file, os.environ)
    except ConfigMistakes as mistakes:
        return list(_told(mistakes))
    patient = Patient(loaded.config, file)
    return [*_unusable(loaded, patient), *asyncio.run(examined(patient, offline=offline))]


def _unusable(loaded: Loaded, patient: Patient) -> Iterator[Finding]:
    """Yield what keeps the configuration from being used here: files that are not there, keys that are none."""
    try:
        compile_config(loaded.config, offline_resources(patient.directory))
    except CompileMistakes as error:
        yield from _told(loaded.mistakes(error))


def _told(mistakes: ConfigMistakes) -> Iterator[Finding]:
    for mistake in mistakes.mistakes:
        yield problem("configuration", str(mistake), "correct it: `gateway serve` would refuse to start")


def as_text(found: Sequence[Finding]) -> str:
    """Return the findings, the worst at the end, where the eye is."""
    lines = []
    for finding in found:
        lines.append(f"{finding.level:7}  {printable(finding.says)}")
        lines += [f"         -> {printable(finding.to_do)}"] if finding.to_do else []
    count = Counter(finding.level for finding in found)
    lines += ["", f"problems: {count['problem']}, advice: {count['advice']}, ok: {count['ok']}"]
    return "\n".join(lines)


def as_json(found: Sequence[Finding]) -> str:
    return json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False)
