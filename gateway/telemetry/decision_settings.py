"""The settings of the decisions that are kept for operators to look at."""

from typing import Annotated

from pydantic import Field

from gateway.model.settings import Settings


class DecisionSettings(Settings):
    """The latest decisions, kept in memory for the console, `gateway tail` and `gateway explain --request-id`.

    No token, cookie, query or body is ever among what is kept.
    """

    keep: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """How many each process keeps; each takes about 1 KiB, and 4 where clients send long paths. 0 keeps none."""

    sample: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The share of requests that went well: 0.01 keeps every hundredth. So that they do not push out the rest, they may
    fill a tenth of `keep` at once, and then a hundredth of it a second. Refusals and 5xx are always kept."""

    claims: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The claims of callers that are shown, by name: `[email, tenant]`. Any other is not."""
