"""Results as tables and sentences."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import contenders as who
from bench.load import Latencies
from bench.measure import Sample
from bench.results import Measured, Results, RowResult, Spread
from bench.rows import CONTENDERS, Case
from bench.tables import DASH, table
from bench.targets import TARGETS, Target, added_p99

RESULTS: Final = Path(__file__).with_name("results")

_NONE: Final = "-"
_DISTURBED: Final = 0.1


def blocks(results: Results) -> dict[str, str]:
    """Return the parts of the report by their names: those that were measured."""
    parts = {
        "targets": targets(results) if len(results.rows) > 1 else "",
        "contenders": contenders(results.rows[CONTENDERS]) if CONTENDERS in results.rows else "",
        "latencies": latencies(results) if results.latencies else "",
        "rows": rows(results),
        "conditions": conditions(results),
    }
    return {name: text for name, text in parts.items() if text}


def targets(results: Results) -> str:
    """Return target, measured figure and verdict."""
    return table(
        ("measure", "target", "measured", f"least{DASH}most", "reached"), [_target(it, results) for it in TARGETS]
    )


def _target(target: Target, results: Results) -> tuple[str, ...]:
    found = target.find(results)
    if found is None:
        return target.measure, target.words, "not measured", _NONE, _NONE
    reached = "yes" if target.is_reached(found) else "**no**"
    return target.measure, target.words, f"{found.middle:.2f}{target.unit}", _range(found), reached


def contenders(result: RowResult) -> str:
    """Return what a request costs each contender."""
    head = (
        *("contender", "does", "CPU µs per request", "against the gateway", "against nginx"),
        *("requests/s", "core busy", "memory MiB"),
    )
    return table(head, [_contender(case, measured, result) for case, measured in result.measured.items()], left=2)


def _contender(case: Case, measured: Measured, result: RowResult) -> tuple[str, ...]:
    name = f"**{case.contender.name}**" if case.contender is who.GATEWAY else case.contender.name
    if (problem := _problem(measured)) is not None:
        return name, problem, *[_NONE] * 6
    return (
        name,
        case.contender.work,
        _spread(measured.spread(lambda it: it.cpu_us), ".0f"),
        _spread(result.ratio(case, Case(who.GATEWAY)), ".2f"),
        _spread(result.ratio(case, Case(who.NGINX)), ".2f"),
        _middle(measured, lambda it: it.rate, ",.0f"),
        _middle(measured, lambda it: it.busy, ".0%"),
        _middle(measured, lambda it: it.rss_mib, ".0f"),
    )


def _problem(measured: Measured) -> str | None:
    """Return why there are no numbers."""
    if measured.failure is not None:
        return str(measured.failure)
    if not measured.samples:
        return "no request was answered"
    return f"WRONG: {measured.errors} wrong answers" if measured.errors else None


def latencies(results: Results) -> str:
    """Return latencies at half of saturation."""
    lines = []
    for steady in results.latencies.values():
        figures = [_latency(steady.spread(value)) for value in (_p50, _p99, _p999)]
        lines.append((steady.name, f"{steady.rate:,.0f}", *(figures if not steady.failure else [_NONE] * 3)))
    text = table(("at half of saturation", "requests/s", "p50 ms", "p99 ms", "p99.9 ms"), lines)
    added = added_p99(results)
    return text if added is None else f"{text}\n\nAdded by the gateway at p99: {_spread(added, '.2f')} ms."


def _latency(found: Spread | None) -> str:
    return _NONE if found is None else f"{found.middle:.2f}"


def _p50(latencies: Latencies) -> float:
    return latencies.p50_ms


def _p99(latencies: Latencies) -> float:
    return latencies.p99_ms


def _p999(latencies: Latencies) -> float:
    return latencies.p999_ms


def rows(results: Results) -> str:
    """Return the further rows, and what idle connections take."""
    lines = [line for key, row in results.rows.items() if key != CONTENDERS for line in _row(row)]
    head = ("the gateway with", "against", "CPU µs per request", "CPU ratio", "throughput ratio", "requests/s")
    parts = [table(head, lines, left=2)] if lines else []
    if results.idle:
        number = results.idle[0].connections
        idle = [(it.name, f"{it.before_mib:.0f}", f"{it.holding_mib:.0f}", f"{it.kib_each:.1f}") for it in results.idle]
        parts.append(table((f"{number:,} idle connections", "before MiB", "with them MiB", "KiB for each"), idle))
    if (exchange := results.exchange) is not None:
        parts.append(
            f"An exchange on Redis takes {exchange.exchange_us:,.0f} µs of CPU of the gateway, "
            f"{_spread(exchange.ratio, '.1f')} times the {exchange.request_us:,.0f} µs of a proxied request with the "
            "same clients."
        )
    return "\n\n".join(parts)


def _row(result: RowResult) -> list[tuple[str, ...]]:
    case, measured = result.row.case, result.measured[result.row.case]
    lines: list[tuple[str, ...]] = []
    for name, other in result.row.others:
        problem = _problem(measured) or _problem(result.measured[other])
        first = not lines
        lines.append(
            (
                result.row.title if first else "",
                name if problem is None else f"{name}: {problem}",
                _spread(measured.spread(lambda it: it.cpu_us), ".0f") if first else "",
                _spread(result.ratio(case, other), ".2f"),
                _spread(result.ratio(case, other, lambda it: it.rate), ".2f"),
                _middle(measured, lambda it: it.rate, ",.0f") if first else "",
            )
        )
    return lines


def conditions(results: Results) -> str:
    """Return the conditions in a few sentences."""
    facts = results.facts
    disturbed = " **That is a disturbed run.**" if results.others > _DISTURBED else ""
    return (
        f"Measured at {facts['at']} with Python {facts['python']}, aiohttp {facts['aiohttp']}, nginx {facts['nginx']}, "
        f"HAProxy {facts['haproxy']}, Envoy {facts['envoy']},\n"
        f"Linux {facts['kernel']}, {facts['cores']} cores of {facts['cpu']}; {facts['tokens']:,} tokens, "
        f"{facts['connections']} connections, {facts['rounds']} rounds of {facts['seconds']} s,\n"
        "twice as many of the contenders and of the rows whose target is a few percent. Anything else had "
        f"{results.others:.0%} of the contenders' core in the median measurement.{disturbed}"
    )


def markdown(results: Results) -> str:
    """Return the whole report."""
    problems = "\n".join(f"- {name}: {failure}" for name, failure in results.failures.items())
    return "\n\n".join(part for part in (*blocks(results).values(), problems) if part)


def write(results: Results) -> str:
    """Write the report as Markdown and JSON, and return its name without ending."""
    RESULTS.mkdir(exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    (RESULTS / f"{name}.md").write_text(markdown(results) + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(_record(results), indent=2) + "\n")
    return f"bench/results/{name}"


def _record(results: Results) -> dict[str, Any]:
    return {
        "conditions": results.facts,
        "rows": {
            key: [
                {
                    "contender": case.contender.name,
                    "work": asdict(case.work),
                    "failure": str(measured.failure) if measured.failure else None,
                    "samples": [asdict(sample) for sample in measured.samples.values()],
                }
                for case, measured in row.measured.items()
            ]
            for key, row in results.rows.items()
        },
        "latencies": {
            name: {"rate": steady.rate, "rounds": [asdict(it) for it in steady.rounds]}
            for name, steady in results.latencies.items()
        },
        "idle": [asdict(it) for it in results.idle],
        "exchange": asdict(results.exchange) if results.exchange else None,
        "failures": {name: str(failure) for name, failure in results.failures.items()},
    }


def _middle(measured: Measured, value: Callable[[Sample], float], form: str) -> str:
    found = measured.spread(value)
    return _NONE if found is None else format(found.middle, form)


def _spread(found: Spread | None, form: str) -> str:
    return _NONE if found is None else f"{found.middle:{form}} ({_range(found, form)})"


def _range(found: Spread, form: str = ".2f") -> str:
    return f"{found.low:{form}}{DASH}{found.high:{form}}"
