"""The course of a run: its parts one after the other, each of which may fail without spoiling the rest."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from bench import contenders as who
from bench.contenders import Contender
from bench.exchanges import measure_exchange
from bench.plan import EXCHANGE, IDLE, LATENCIES, Plan
from bench.processes import BenchError, Cores
from bench.results import Results, RowResult
from bench.rows import CONTENDERS, ROWS, Row, contenders_row
from bench.stage import Runner, Stage, say

_SHARED: Final = (who.GATEWAY, who.NGINX)
"""What runs through many rows."""
_STEADY_ROUNDS: Final = 3
_STEADY_SECONDS: Final = 2
_EXCHANGE_SECONDS: Final = 8


class Course:
    """Measures what the plan asks for, and puts it into the results."""

    def __init__(self, plan: Plan, stage: Stage, results: Results) -> None:
        self._plan = plan
        self._stage = stage
        self._results = results

    def run(self, directory: Path, cores: Cores) -> None:
        """Measure everything that is asked for."""
        if self._plan.parts & {CONTENDERS, LATENCIES}:
            self._try(CONTENDERS, partial(self._row, contenders_row(self._plan.only), {}, self._latencies))
        self._try("rows", self._rows)
        if IDLE in self._plan.parts:
            for contender in _SHARED:
                self._try(f"idle connections, {contender.name}", partial(self._idle, contender))
        if EXCHANGE in self._plan.parts:
            self._try("exchange on Redis", partial(self._exchange, directory / EXCHANGE, cores))

    def _rows(self) -> None:
        chosen = [row for row in ROWS if row.key in self._plan.parts]
        shared = [row for row in chosen if set(row.contenders) <= set(_SHARED)]
        with self._stage.running("shared", _SHARED if shared else ()) as kept:
            for row in shared:
                self._try(row.title, partial(self._row, row, kept))
        for row in chosen:
            if row not in shared:
                self._try(row.title, partial(self._row, row, {}))

    def _row(
        self,
        row: Row,
        kept: Mapping[Contender, Runner | BenchError],
        meanwhile: Callable[[RowResult, dict[Contender, Runner]], None] | None = None,
    ) -> None:
        result = self._stage.measure_row(row, row.turns * self._plan.rounds, kept, meanwhile)
        self._results.rows[row.key] = result

    def _latencies(self, result: RowResult, runners: dict[Contender, Runner]) -> None:
        # What was measured is kept, whatever becomes of the rest.
        self._results.rows[result.row.key] = result
        if LATENCIES in self._plan.parts:
            found = self._stage.measure_latencies(result, runners, _STEADY_ROUNDS, _STEADY_SECONDS)
            self._results.latencies.update(found)

    def _idle(self, contender: Contender) -> None:
        self._results.idle.append(self._stage.measure_idle(contender, self._plan.idle))

    def _exchange(self, directory: Path, cores: Cores) -> None:
        self._results.exchange = exchange = measure_exchange(directory, cores, _EXCHANGE_SECONDS)
        say(f"an exchange on Redis costs {exchange.ratio.middle:.1f} times a request")

    def _try(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except BenchError as error:
            self._failed(name, error)
        except Exception as error:  # noqa: BLE001 - what was measured before, in minutes, must not be lost
            self._failed(name, BenchError(repr(error)))

    def _failed(self, name: str, error: BenchError) -> None:
        self._results.failures[name] = error
        say(f"{name}: {error}")
