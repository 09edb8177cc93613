"""What outcomes mean together: of requests, and of health checks."""

from time import monotonic
from typing import Any

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.upstream_trouble import Breaker, Ejection
from gateway.model.errors import CircuitOpen, FirstByteTimeout, NoHealthyTarget
from gateway.model.upstream import parse_target
from gateway.proxy.targets import Targets
from gateway.proxy.trouble import Trouble

SLOW = FirstByteTimeout("no answer")


class Troubled:
    """An upstream with two targets, and what operators are told of it."""

    def __init__(self, **settings: Any) -> None:
        addresses = (parse_target("http://a"), parse_target("http://b"))
        spec = UpstreamSpec("app", addresses, ejection=Ejection(failures=1), **settings)
        self.targets = Targets(spec)
        self.first, self.second = self.targets.all
        self.noticed: list[str] = []
        self.changes = 0
        self.trouble = Trouble(spec, self.targets, lambda event, fields: self.noticed.append(event), self._changed)

    def _changed(self) -> None:
        self.changes += 1


def test_a_good_check_ends_an_ejection_and_a_later_failure_begins_another() -> None:
    upstream = Troubled()
    upstream.trouble.failed(upstream.first, SLOW, monotonic())
    assert [target.name for target in upstream.targets.usable] == ["http://b:80"]
    upstream.trouble.checked(upstream.first, "ok", is_healthy=True)
    assert len(upstream.targets.usable) == 2
    upstream.trouble.failed(upstream.first, SLOW, monotonic())
    assert upstream.noticed == ["target_ejected", "target_healthy", "target_ejected"]
    assert upstream.trouble.ejected_total == [2, 0]
    assert upstream.changes == 3


def test_an_ejected_target_comes_back_when_its_time_is_over() -> None:
    upstream = Troubled()
    upstream.trouble.failed(upstream.first, SLOW, monotonic())
    upstream.trouble.take_back(monotonic() + 9)
    assert upstream.first.is_ejected
    assert upstream.trouble.next_return < monotonic() + 11
    upstream.trouble.take_back(monotonic() + 11)
    assert not upstream.first.is_ejected
    assert upstream.first.is_watched  # its next outcome decides
    assert upstream.noticed == ["target_ejected", "target_returned"]


def test_without_a_healthy_target_nobody_need_wait() -> None:
    upstream = Troubled()
    upstream.trouble.checked(upstream.first, "timeout", is_healthy=False)
    assert upstream.trouble.refusal() is None
    upstream.trouble.checked(upstream.second, "failed", is_healthy=False)
    assert isinstance(upstream.trouble.refusal(), NoHealthyTarget)


def test_while_the_circuit_is_open_nobody_need_wait() -> None:
    upstream = Troubled(breaker=Breaker(requests=1, open=3.5))
    assert upstream.first.is_watched  # every answer counts
    upstream.trouble.request_failed(SLOW, monotonic())
    refusal = upstream.trouble.refusal()
    assert isinstance(refusal, CircuitOpen)
    assert refusal.retry_after == 4
    assert (upstream.noticed, upstream.changes) == (["circuit_opened"], 1)
