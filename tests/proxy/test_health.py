"""When checks change what is thought of a target, and when they run."""

import asyncio
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.upstream_trouble import Health
from gateway.model.upstream import parse_target
from gateway.proxy.deadlines import Deadlines
from gateway.proxy.health import HealthChecks, Verdict
from gateway.proxy.targets import PooledTarget, Targets

G, B = True, False


@pytest.mark.parametrize(
    ("results", "healthy"),
    [
        ([], [True]),
        ([B, B], [True]),
        ([B, B, B], [True, False]),
        ([B, B, G, B, B], [True]),
        ([B, B, B, G], [True, False]),
        ([B, B, B, G, B, G], [True, False]),
        ([B, B, B, G, G], [True, False, True]),
        ([B, B, B, G, G, B, B, B], [True, False, True, False]),
    ],
)
def test_only_results_in_a_row_change_the_verdict(results: list[bool], healthy: list[bool]) -> None:
    verdict = Verdict(Health(path="/", failures=3, successes=2))
    seen = [verdict.is_healthy]
    seen += [verdict.is_healthy for is_good in results if verdict.hear(is_good=is_good)]
    assert seen == healthy


@given(st.lists(st.booleans()), st.integers(1, 4), st.integers(1, 4))
def test_the_verdict_follows_from_the_last_rows(results: list[bool], failures: int, successes: int) -> None:
    verdict = Verdict(Health(path="/", failures=failures, successes=successes))
    expected, row = True, 0
    for is_good in results:
        row = row + 1 if is_good is not expected else 0
        is_changed = row == (successes if is_good else failures) and is_good is not expected
        assert verdict.hear(is_good=is_good) is is_changed
        if is_changed:
            expected, row = is_good, 0
        assert verdict.is_healthy is expected


class Checked:
    """Two targets, and checks that end when they are told to."""

    def __init__(self) -> None:
        self.targets = Targets(UpstreamSpec("app", (parse_target("http://a"), parse_target("http://b"))))
        self.begun: list[str] = []
        self.results: dict[str, asyncio.Future[str]] = {}
        self.changes: list[tuple[str, str, bool]] = []
        loop = asyncio.get_running_loop()
        settings = Health(path="/", interval=10, failures=1, successes=1)
        self.checks = HealthChecks(settings, self.targets.all, Deadlines(loop), loop, self._check, self._changed)

    async def tick(self, now: float) -> None:
        if self.checks.deadline <= now:
            self.checks.deadline_passed(now)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _check(self, target: PooledTarget) -> str:
        self.begun.append(target.name)
        self.results[target.name] = asyncio.get_running_loop().create_future()
        return await self.results[target.name]

    def _changed(self, target: PooledTarget, result: str, is_healthy: bool) -> None:
        self.changes.append((target.name, result, is_healthy))


async def test_all_targets_are_checked_at_once_and_then_after_a_pause() -> None:
    checked = Checked()
    await checked.tick(0)
    await checked.tick(1)
    assert checked.begun == ["http://a:80", "http://b:80"]
    assert checked.checks.deadline == inf  # one at a time for each
    checked.results["http://a:80"].set_result("timeout")
    await checked.tick(0)
    now = asyncio.get_running_loop().time()
    assert now + 7 < checked.checks.deadline < now + 13
    assert checked.changes == [("http://a:80", "timeout", False)]
    assert checked.checks.results == {"ok": 0, "status": 0, "timeout": 1, "failed": 0}
    await checked.tick(now + 13)
    assert checked.begun == ["http://a:80", "http://b:80", "http://a:80"]
    checked.results["http://a:80"].set_result("ok")
    await checked.tick(0)
    assert checked.changes[1:] == [("http://a:80", "ok", True)]
    checked.checks.close()
    await checked.tick(0)


async def test_a_bug_in_a_check_does_not_end_the_checks() -> None:
    checked = Checked()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context.get("exception")))
    await checked.tick(0)
    checked.results["http://a:80"].set_exception(bug := ZeroDivisionError())
    await checked.tick(0)
    await checked.tick(asyncio.get_running_loop().time() + 13)
    assert checked.begun == ["http://a:80", "http://b:80", "http://a:80"]
    assert reported == [bug]
    checked.checks.close()
    await checked.tick(0)


async def test_closing_ends_the_checks_under_way() -> None:
    checked = Checked()
    await checked.tick(0)
    checked.checks.close()
    await checked.tick(0)
    assert [each.cancelled() for each in checked.results.values()] == [True, True]
    assert checked.changes == []
