"""What upstreams say: one table per family."""

from tests.trips.raw_exchanges.answers import bodies, early, heads, interim, unasked
from tests.trips.raw_exchanges.exchange import Answering

FAMILIES: dict[str, list[Answering]] = {
    "heads": heads.ROWS,
    "bodies": bodies.ROWS,
    "interim": interim.ROWS,
    "unasked": unasked.ROWS,
    "early": early.ROWS,
}
