"""What operators see of several workers: all of them together, whichever one they happen to ask."""

import json
import os
import signal
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.processes import ADMIN_TOKEN, PATIENCE, Fleet, GatewayProcess, fleet, status_at
from tests.clients.workers import workers_of

REQUESTS = 40
"""On connections of their own: the kernel spreads them over both workers."""


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str) -> Iterator[GatewayProcess]:
    directory = tmp_path_factory.mktemp("insight") / "fleet"
    changes = {"workers": 2, "reload": "signal", "log": {"access": False}}
    found: Fleet
    with fleet(directory, house, {"url": "sqlite:state.db", "timeout": 10}, echo, changes=changes) as found:
        yield found.start()


def told(gateway: GatewayProcess, path: str, method: str = "GET") -> Any:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}
    url = f"{gateway.admin_url}/admin/api/v1{path}"
    request = urllib.request.Request(url, headers=headers, method=method, data=b"{}" if method == "POST" else None)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def test_all_workers_tell_together(crew: GatewayProcess) -> None:
    crew.wait_until(lambda: told(crew, "/counters")["workers"]["ready"] == 2, "both ready")
    before = told(crew, "/counters")["decisions"].get("no_route", 0)
    assert {status_at(f"{crew.url}/nowhere/{number}") for number in range(REQUESTS)} == {404}
    for _ in range(10):  # asked on fresh connections, too: any of the workers answers
        assert told(crew, "/counters")["decisions"]["no_route"] - before == REQUESTS
        found = told(crew, "/decisions?reason=no_route&limit=1000")["decisions"]
        assert Counter(each["path"] for each in found) == Counter(f"/nowhere/{number}" for number in range(REQUESTS))
        assert [each["ended"] for each in found] == sorted((each["ended"] for each in found), reverse=True)
        one = told(crew, f"/decisions/{found[-1]['request_id']}")
        assert one["decision"] == found[-1]
    of_workers = {each["request_id"].partition("-")[0] for each in found}
    assert len(of_workers) == 2
    assert len(told(crew, "/decisions?limit=3")["decisions"]) == 3
    assert [each["name"] for each in told(crew, "/upstreams")["upstreams"]] == ["app"]
    own = {each["id"] for each in told(crew, "/routes")["routes"] if not each["own"]}
    assert own == {"api", "open", "orders"}
    assert {status_at(f"{crew.url}/api/{number}") for number in range(REQUESTS)} == {401}
    [refusing] = told(crew, "/refusing-routes")["routes"]
    assert (refusing["id"], refusing["decisions"]) == ("api", {"missing_credentials": REQUESTS})
    assert told(crew, "/counters")["answered"] == 2
    assert [each["name"] for each in told(crew, "/keys")["authenticators"]] == ["own"]


def test_a_reload_is_for_all(crew: GatewayProcess) -> None:
    before = len(crew.events("config_unchanged"))
    assert told(crew, "/reload", "POST") == {"asked": True}
    events = crew.events
    crew.wait_until(lambda: {each["worker"] for each in events("config_unchanged")[before:]} == {1, 2}, "read by both")


def test_a_worker_that_is_silent_is_left_out(crew: GatewayProcess) -> None:
    crew.wait_until(lambda: told(crew, "/counters")["workers"]["ready"] == 2, "both ready")
    silent = workers_of(crew)[1]
    os.kill(silent, signal.SIGSTOP)
    try:
        answer = _from_who_answers(crew)
    finally:
        os.kill(silent, signal.SIGCONT)
    assert answer["answered"] == 1


def _from_who_answers(crew: GatewayProcess) -> Any:
    """Ask until the connection is one of the worker that runs: both take them from one socket."""
    for _ in range(50):
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        request = urllib.request.Request(f"{crew.admin_url}/admin/api/v1/counters", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=4) as response:
                return json.load(response)
        except TimeoutError:
            continue
    raise AssertionError("nobody answered")
