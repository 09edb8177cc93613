"""What is asked of a contender, again and again, while it is measured."""

from dataclasses import dataclass
from typing import Final, Literal

from bench.answers import ANSWER


@dataclass(frozen=True, slots=True)
class Work:
    """Requests for PATH/N with the token of user N, for each N in turn. `{}` in the path is the number of a route.

    They come on `breadth` times as many connections as usual. `status` and `answer`, its length, are what must come
    back. `forwarded` is how many requests the upstream counts for each of them.
    """

    path: str = "/orders"
    tokens: Literal["tokens", "expired", "new"] = "tokens"
    routes: int = 1
    body: int = 0
    is_tls: bool = False
    is_websocket: bool = False
    breadth: int = 1
    status: int = 200
    answer: int = len(ANSWER)
    forwarded: int = 1


BASIC: Final = Work()
ANSWERS_16K: Final = Work("/answers/16k", answer=16 << 10)
ANSWERS_1M: Final = Work("/answers/1m", answer=1 << 20)
# An upload is read by one server of the upstream, and answered by another one.
UPLOADS: Final = Work("/uploads", body=64 << 10, forwarded=2)
TLS: Final = Work(is_tls=True)
TWICE_AS_MANY: Final = Work(breadth=2)
REFUSED: Final = Work(tokens="expired", status=401, answer=0, forwarded=0)
NEW_TOKENS: Final = Work(tokens="new")
MESSAGES: Final = Work("/ws", is_websocket=True)
FEW_ROUTES: Final = Work("/r{}/orders", routes=10)
MANY_ROUTES: Final = Work("/r{}/orders", routes=10_000)
