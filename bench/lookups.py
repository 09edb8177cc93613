"""What it costs to ask whether a token is revoked, and to decide a request, with few and with many revocations."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from os import getpid
from pathlib import Path
from statistics import median

from bench.fleets import digest_of
from bench.gateway_setup import write_gateway_config
from bench.material import make_material
from bench.measure import resident_mib
from bench.scene import Ports, Scene
from gateway.commands.check import checked
from gateway.engine.gatekeeper import Gatekeeper
from gateway.model.decision import Allow
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest, Peer
from gateway.model.revocation import FOREVER, Level, Revocation
from gateway.state.revocations import RevocationView

TOKENS = 500
_ROUNDS = 25
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class LookUps:
    """Nanoseconds per call, medians, at a number of revocations.

    `same`: nothing changed since the token was last found good. `changed`: one revocation was added since then.
    `new`: a token that was never looked up.
    """

    revocations: int
    same: float
    changed: float
    new: float
    decide_same: float
    decide_changed: float


def revocations(number: int) -> Iterator[Revocation]:
    """Yield revocations of sessions, always the same ones, in force for an hour from now."""
    now = int(time.time())
    for each in range(number):
        yield Revocation(Level.SESSION, digest_of(str(each), 0), FOREVER, now + _HOUR, now * 1000)


def look_ups(directory: Path, numbers: Sequence[int]) -> list[LookUps]:
    """Measure at each number of revocations: by turns, since the machine's own speed drifts."""
    material = make_material(directory, TOKENS)
    config = Path(write_gateway_config(Scene(directory, 9, material, connections=1), Ports(8080, 8443, 9090)))
    tokens = material.tokens.read_text().split()
    callers = [_Callers(checked(config, {}).gatekeeper, number, tokens) for number in numbers]
    rounds = [[each.samples() for each in callers] for _ in range(_ROUNDS + 1)][1:]
    return [
        LookUps(number, *(median(samples) for samples in zip(*(each[place] for each in rounds), strict=True)))
        for place, number in enumerate(numbers)
    ]


class _Callers:
    """The callers of all tokens: asked about, and deciding, one after the other."""

    def __init__(self, gatekeeper: Gatekeeper, number: int, tokens: Sequence[str]) -> None:
        gatekeeper.revocations = self._view = RevocationView()
        self._view.add(revocations(number))
        self._view.refreshed(int(time.time() * 1000), time.monotonic() + _HOUR)
        self._gatekeeper = gatekeeper
        self._tokens = tokens
        self._principals = [_allowed(gatekeeper, _request(token)) for token in tokens]
        self._requests: list[InboundRequest] = []
        self._changes = 0

    def samples(self) -> tuple[float, ...]:
        """Return the nanoseconds per call of each case, in the order of LookUps."""
        return (
            self._ns(self._receive, self._ask),
            self._ns(self._change, self._ask),
            self._ns(self._forget, self._ask),
            self._ns(self._receive, self._decide),
            self._ns(self._change, self._decide),
        )

    def _ns(self, prepare: Callable[[], None], run: Callable[[], None]) -> float:
        prepare()
        started = time.thread_time_ns()
        run()
        return (time.thread_time_ns() - started) / len(self._tokens)

    def _receive(self) -> None:
        """Requests are made anew each time: what is parsed is remembered in them."""
        self._requests = list(map(_request, self._tokens))

    def _change(self) -> None:
        self._receive()
        self._changes += 1
        name = digest_of(f"change {self._changes}", 1)
        self._view.add([Revocation(Level.SESSION, name, FOREVER, int(time.time()) + _HOUR, 0)])

    def _forget(self) -> None:
        for principal in self._principals:
            principal.cleared_at[0] = -1

    def _ask(self) -> None:
        for principal in self._principals:
            self._view.is_revoked(principal)

    def _decide(self) -> None:
        for request in self._requests:
            self._gatekeeper.decide(request)


def _request(token: str) -> InboundRequest:
    headers = [(b"Host", b"api.example"), (b"Authorization", b"Bearer " + token.encode())]
    return InboundRequest("GET", b"/orders/17", headers, Peer("127.0.0.1"), secure=False)


def _allowed(gatekeeper: Gatekeeper, request: InboundRequest) -> Principal:
    decision = gatekeeper.decide(request)
    assert isinstance(decision, Allow), decision
    assert decision.principal is not None
    return decision.principal


def view_mib(number: int) -> float:
    """Return by how many MiB a process grows that gets so many revocations: measured in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_growth, number).result()


def _growth(number: int) -> float:
    view = RevocationView()
    view.add(revocations(min(number, 1000)))
    before = resident_mib(getpid())
    view.add(revocations(number))
    return resident_mib(getpid()) - before
