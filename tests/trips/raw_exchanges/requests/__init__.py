"""What clients send: one table per family."""

from tests.trips.raw_exchanges.exchange import Exchange
from tests.trips.raw_exchanges.requests import (
    chunks,
    framing,
    hop_by_hop,
    hosts,
    pipelines,
    start_lines,
    syntax,
    targets,
    upgrades,
)

FAMILIES: dict[str, list[Exchange]] = {
    "framing": framing.ROWS,
    "chunks": chunks.ROWS,
    "syntax": syntax.ROWS,
    "start lines": start_lines.ROWS,
    "hosts": hosts.ROWS,
    "targets": targets.ROWS,
    "hop by hop": hop_by_hop.ROWS,
    "upgrades": upgrades.ROWS,
    "pipelines": pipelines.ROWS,
}
