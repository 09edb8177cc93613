"""Several worker processes behind one address: one of them may die, hang or be replaced, and nobody loses a request."""

import asyncio
import errno
import http.client
import json
import os
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest

from gateway.model.revocation import FOREVER, Level, Revocation
from gateway.state.sharing import LEAST
from gateway.state.sqlite import SqliteFeed
from gateway.state.sqlite_file import SqliteFile
from tests.clients.asking import becomes, end_subject, status_of
from tests.clients.processes import PATIENCE, Fleet, GatewayProcess, fleet, opened
from tests.clients.workers import is_alive, loaded, port_of, who_holds, workers_of
from tests.trips.certificates import make_authority

WORKERS = 2
REQUESTS = "gateway_requests_total"


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory, house: Path, echo: str) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("workers") / "fleet"
    changes = {"workers": WORKERS, "timeouts": {"drain": 20}, "reload": "signal", "log": {"access": False}}
    with fleet(directory, house, {"url": "sqlite:state.db", "timeout": 10}, echo, changes=changes) as found:
        yield found


@pytest.fixture(scope="module")
def crew(ships: Fleet) -> GatewayProcess:
    """A gateway with two workers. Tests leave it with two that serve."""
    gateway = ships.start()
    assert len(workers_of(gateway)) == WORKERS
    return gateway


def ask(gateway: GatewayProcess, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{gateway.url}/api/x", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        response.read()  # it is counted when it is over
        return int(response.status)


def until_whole(gateway: GatewayProcess) -> None:
    gateway.wait_until(lambda: gateway.metric("gateway_workers", state="ready") == WORKERS, "whole")
    gateway.wait_until(lambda: gateway.metric("gateway_workers", state="draining") == 0, "whole")


def test_a_rolling_restart_loses_no_request_and_replaces_every_worker(crew: GatewayProcess) -> None:
    token = opened(crew.url)["access_token"]
    before, counted = workers_of(crew), crew.metric(REQUESTS, route="api")
    with loaded(port_of(crew.url), token, fresh=4, kept=4) as load:
        crew.wait_until(lambda: load.answered > 100, "busy")
        done = len(crew.events("rolling_restart_done"))
        os.kill(crew.pid, signal.SIGUSR2)
        crew.wait_until(lambda: len(crew.events("rolling_restart_done")) > done, "done with the rolling restart")
        so_far = load.answered
        crew.wait_until(lambda: load.answered > so_far + 100, "busy")
    assert load.failures == []
    after = workers_of(crew)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert not any(is_alive(pid) for pid in before.values())
    assert crew.metric(REQUESTS, route="api") == counted + load.answered  # of four processes
    assert crew.readiness() == 200


def test_the_death_of_a_worker_touches_its_own_connections_only(crew: GatewayProcess) -> None:
    token = opened(crew.url)["access_token"]
    pids = workers_of(crew)
    with ExitStack() as stack:
        connections = [http.client.HTTPConnection("127.0.0.1", port_of(crew.url), timeout=PATIENCE) for _ in range(24)]
        for each in connections:
            stack.callback(each.close)
            assert kept_status(each, token) == 200
        holders = [who_holds(each.sock, list(pids.values())) for each in connections]
        assert set(holders) == set(pids.values())
        ends = crew.metric("gateway_worker_ends_total", how="killed")
        os.kill(pids[1], signal.SIGKILL)
        for each, holder in zip(connections, holders, strict=True):
            assert kept_status(each, token) == (None if holder == pids[1] else 200)
    for _ in range(20):
        assert ask(crew, token) == 200
    until_whole(crew)
    assert workers_of(crew)[1] != pids[1]
    assert workers_of(crew)[2] == pids[2]
    assert crew.metric("gateway_worker_ends_total", how="killed") == ends + 1
    assert crew.events("worker_ended")[-1]["signal"] == "SIGKILL"


@contextmanager
def broken(gateway: GatewayProcess, ships: Fleet) -> Iterator[None]:
    """Inside, the configuration on the disk has a mistake."""
    file = ships.directory / f"{gateway.name}.yaml"
    config = file.read_text()
    file.write_text("nonsense: 1")
    try:
        yield
    finally:
        file.write_text(config)


def lose_worker(gateway: GatewayProcess, number: int) -> None:
    rejected = len(gateway.events("config_rejected"))
    os.kill(workers_of(gateway)[number], signal.SIGKILL)
    gateway.wait_until(lambda: len(gateway.events("config_rejected")) > rejected, "without a replacement")


def holders_of(gateway: GatewayProcess, token: str, connections: int) -> set[int | None]:
    """Ask on so many fresh connections, and return which workers they reached."""
    pids = list(workers_of(gateway).values())
    found = set()
    for _ in range(connections):
        connection = http.client.HTTPConnection("127.0.0.1", port_of(gateway.url), timeout=PATIENCE)
        try:
            assert kept_status(connection, token) == 200
            found.add(who_holds(connection.sock, pids))
        finally:
            connection.close()
    return found


def test_while_a_worker_cannot_be_replaced_another_one_takes_its_connections(
    crew: GatewayProcess, ships: Fleet
) -> None:
    token = opened(crew.url)["access_token"]
    survivor, so_far = workers_of(crew)[2], len(crew.text())
    with broken(crew, ships):
        lose_worker(crew, 1)
        assert holders_of(crew, token, 20) == {survivor}
        assert [ask(crew, token) for _ in range(180)] == [200] * 180
        assert crew.metric("gateway_workers", state="missing") == 1
        assert crew.readiness() == 200
    event = crew.events("config_rejected")[-1]
    assert (event["worker"], event["level"]) == (1, "error")
    assert "nonsense" in str(event["mistakes"])
    until_whole(crew)
    crew.wait_until(lambda: crew.metric("gateway_workers", state="missing") == 0, "whole")
    pids = workers_of(crew)
    assert pids[2] == survivor
    assert holders_of(crew, token, 40) == set(pids.values())
    assert [ask(crew, token) for _ in range(160)] == [200] * 160
    assert all(line.startswith("{") for line in crew.text()[so_far:].splitlines())


def test_under_load_a_killed_worker_loses_only_what_it_had(crew: GatewayProcess) -> None:
    token = opened(crew.url)["access_token"]
    with loaded(port_of(crew.url), token, fresh=4, kept=2) as load:
        crew.wait_until(lambda: load.answered > 50, "busy")
        os.kill(workers_of(crew)[2], signal.SIGKILL)
        crew.wait_until(lambda: crew.metric("gateway_workers", state="ready") < WORKERS, "short of a worker")
        until_whole(crew)
        so_far = load.answered
        crew.wait_until(lambda: load.answered > so_far + 50, "busy")
    assert len(load.failures) <= 6, load.failures  # at most one for each client
    assert not [failure for failure in load.failures if "timed out" in failure or "status" in failure]


def test_a_stop_empties_the_queues_of_missing_workers_too(ships: Fleet) -> None:
    gateway = ships.start()
    token = opened(gateway.url)["access_token"]
    with broken(gateway, ships):
        lose_worker(gateway, 1)
        with loaded(port_of(gateway.url), token, fresh=6, kept=0) as load:
            gateway.wait_until(lambda: load.answered > 50, "busy")
            assert gateway.stop() == 0
    assert [failure for failure in load.failures if "ConnectionRefusedError" not in failure] == []


def test_a_listener_with_tls_has_a_deputy_too(ships: Fleet, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    gateway = ships.start(tls={"certificate": str(certificate), "key": str(key)})
    context = ssl.create_default_context(cafile=str(authority.file))

    def greet() -> None:
        raw = socket.create_connection(("127.0.0.1", port_of(gateway.url)), PATIENCE)
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 40")

    for _ in range(12):
        greet()
    with broken(gateway, ships):
        lose_worker(gateway, 2)
        for _ in range(12):
            greet()
    until_whole(gateway)
    for _ in range(12):
        greet()
    assert gateway.stop() == 0


def kept_status(connection: http.client.HTTPConnection, token: str) -> int | None:
    """Ask on a connection that is there already. None: it is lost."""
    auto, connection.auto_open = connection.auto_open, connection.sock is None
    try:
        connection.request("GET", "/api/x", headers={"Authorization": f"Bearer {token}"})
        with connection.getresponse() as response:
            response.read()
            return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.auto_open = auto


def test_the_numbers_of_all_workers_are_one_and_never_go_backwards(crew: GatewayProcess) -> None:
    token = opened(crew.url)["access_token"]
    before = crew.metric(REQUESTS, route="api")
    for _ in range(30):
        ask(crew, token)
    assert crew.metric(REQUESTS, route="api") == before + 30
    assert crew.metric("gateway_added_seconds_count", route="api") == before + 30
    os.kill(workers_of(crew)[2], signal.SIGKILL)
    crew.wait_until(lambda: crew.metric("gateway_workers", state="ready") < WORKERS, "short of a worker")
    assert crew.metric(REQUESTS, route="api") == before + 30
    until_whole(crew)
    assert crew.metric(REQUESTS, route="api") == before + 30
    assert crew.metric("gateway_config_last_reload_successful") == 1


def test_a_frozen_worker_does_not_stop_the_metrics(crew: GatewayProcess) -> None:
    token = opened(crew.url)["access_token"]
    before = crew.metric(REQUESTS, route="api")
    for _ in range(10):
        ask(crew, token)
    assert crew.metric(REQUESTS, route="api") == before + 10
    pid = workers_of(crew)[1]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert crew.metric(REQUESTS, route="api") == before + 10
    finally:
        os.kill(pid, signal.SIGCONT)


async def test_a_revocation_holds_in_every_worker(crew: GatewayProcess, http: aiohttp.ClientSession) -> None:
    tokens = opened(crew.url, sub="zoe")
    assert [await status_of(http, crew, tokens) for _ in range(20)] == [200] * 20
    assert await end_subject(http, crew, "zoe") == 1
    await becomes(http, crew, tokens, 401)
    end = time.monotonic() + PATIENCE
    while [await status_of(http, crew, tokens) for _ in range(20)] != [401] * 20:  # each with a connection of its own
        assert time.monotonic() < end


def test_what_is_revoked_is_in_memory_once_and_holds_in_every_worker(crew: GatewayProcess, ships: Fleet) -> None:
    good, revoked = opened(crew.url), opened(crew.url)
    log_out(crew, revoked["refresh_token"])
    asyncio.run(revoke(ships.directory / "state.db", LEAST))
    crew.wait_until(lambda: all(map(has_the_shelf, workers_of(crew).values())), "sharing")
    before = workers_of(crew)
    os.kill(before[1], signal.SIGKILL)
    crew.wait_until(lambda: workers_of(crew).get(1, before[1]) != before[1], "replacing it")
    until_whole(crew)
    crew.wait_until(lambda: all(map(has_the_shelf, workers_of(crew).values())), "sharing")
    for token, status in (good, 200), (revoked, 401):
        statuses = {status_on_a_new_connection(crew, token["access_token"]) for _ in range(20)}
        assert statuses == {status}


def log_out(gateway: GatewayProcess, refresh_token: str) -> None:
    body = json.dumps({"refresh_token": refresh_token}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{gateway.url}/auth/logout", body, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 204


async def revoke(file: Path, number: int) -> None:
    """Put many revocations into a store."""
    now = int(time.time())
    store = SqliteFile(file, deadline=PATIENCE)
    await store.open()
    await SqliteFeed(store).publish(
        [Revocation(Level.SESSION, os.urandom(16), FOREVER, now + 3600, now * 1000) for _ in range(number)]
    )
    await store.close()


def has_the_shelf(pid: int) -> bool:
    """Say whether a worker has mapped what all share."""
    return "gateway shelf" in Path(f"/proc/{pid}/maps").read_text()


def status_on_a_new_connection(gateway: GatewayProcess, token: str) -> int:
    try:
        return ask(gateway, token)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_reload_reaches_every_worker(crew: GatewayProcess, ships: Fleet) -> None:
    file = ships.directory / f"{crew.name}.yaml"
    config = json.loads(file.read_text())
    config["routes"].append({"id": "new", "match": {"path": "/new/**"}, "upstream": "app", "access": "public"})
    file.write_text(json.dumps(config))
    os.kill(crew.pid, signal.SIGHUP)

    def have_reloaded() -> bool:
        return {event["worker"] for event in crew.events("config_reloaded")} == {1, 2}

    crew.wait_until(have_reloaded, "reloaded")
    for _ in range(20):
        with urllib.request.urlopen(f"{crew.url}/new/x", timeout=PATIENCE) as response:
            assert response.status == 200


def test_a_rolling_restart_stops_when_a_replacement_cannot_start(crew: GatewayProcess, ships: Fleet) -> None:
    file = ships.directory / f"{crew.name}.yaml"
    before, config = workers_of(crew), file.read_text()
    file.write_text("nonsense: 1")
    try:
        os.kill(crew.pid, signal.SIGUSR2)
        crew.wait_until(lambda: crew.events("rolling_restart_failed"), "done with the rolling restart")
    finally:
        file.write_text(config)
    assert workers_of(crew) == before
    assert ask(crew, opened(crew.url)["access_token"]) == 200


def test_an_address_that_is_taken_by_workers_is_refused(crew: GatewayProcess, ships: Fleet) -> None:
    other = ships.launch(port_of(crew.url))
    other.wait_until(lambda: "Address already in use" in other.text(), "refused")
    assert f"cannot start: cannot listen on 127.0.0.1:{port_of(crew.url)}: Address already in use" in other.text()


def test_workers_without_a_parent_finish_and_end(ships: Fleet) -> None:
    gateway = ships.start()
    pids = workers_of(gateway)
    token = opened(gateway.url)["access_token"]
    with socket.create_connection(("127.0.0.1", port_of(gateway.url)), PATIENCE) as client:
        client.sendall(b"GET /api/x HTTP/1.1\r\nHost: a\r\n")  # the rest comes when the parent is dead
        gateway.wait_until(lambda: who_holds(client, list(pids.values())), "connected")
        gateway.kill()
        until_refused(gateway)  # nobody waits in the queue of a worker that only finishes
        client.sendall(f"Authorization: Bearer {token}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    gateway.wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), "gone with all workers")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port_of(gateway.url)), PATIENCE)


def test_stopping_all_loses_no_request_and_the_address_is_free_again(ships: Fleet) -> None:
    gateway = ships.start()
    port = port_of(gateway.url)
    token = opened(gateway.url)["access_token"]
    with loaded(port, token, fresh=3, kept=3) as load:
        gateway.wait_until(lambda: load.answered > 50, "busy")
        assert gateway.stop() == 0
    assert [failure for failure in load.failures if "ConnectionRefusedError" not in failure] == []
    with socket.create_server(("127.0.0.1", port)):
        pass


def until_refused(gateway: GatewayProcess) -> None:
    def is_refused() -> bool:
        with socket.socket() as client:
            client.settimeout(0.5)
            return client.connect_ex(("127.0.0.1", port_of(gateway.url))) == errno.ECONNREFUSED

    gateway.wait_until(is_refused, "closed")


def test_while_the_last_requests_finish_new_connections_are_refused(ships: Fleet) -> None:
    gateway = ships.start(timeouts={"drain": PATIENCE, "head": PATIENCE})
    pids = workers_of(gateway)
    token = opened(gateway.url)["access_token"]
    with socket.create_connection(("127.0.0.1", port_of(gateway.url)), PATIENCE) as client:
        client.sendall(b"GET /api/x HTTP/1.1\r\nHost: a\r\n")
        gateway.wait_until(lambda: who_holds(client, list(pids.values())), "connected")
        os.kill(gateway.pid, signal.SIGTERM)
        until_refused(gateway)
        client.sendall(f"Authorization: Bearer {token}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert gateway.stop() == 0


def test_a_worker_that_stops_alone_is_replaced_before_it_has_finished(ships: Fleet) -> None:
    gateway = ships.start(timeouts={"drain": PATIENCE, "head": PATIENCE})
    pids = workers_of(gateway)
    token = opened(gateway.url)["access_token"]
    with socket.create_connection(("127.0.0.1", port_of(gateway.url)), PATIENCE) as client:
        client.sendall(b"GET /api/x HTTP/1.1\r\nHost: a\r\n")
        gateway.wait_until(lambda: who_holds(client, list(pids.values())), "connected")
        holder = who_holds(client, list(pids.values()))
        assert holder is not None
        os.kill(holder, signal.SIGTERM)
        gateway.wait_until(lambda: gateway.events("worker_started"), "whole again")
        assert is_alive(holder)
        for _ in range(10):
            assert ask(gateway, token) == 200
        client.sendall(f"Authorization: Bearer {token}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
    gateway.wait_until(lambda: not is_alive(holder), "rid of the old one")
    assert len(workers_of(gateway)) == WORKERS


def test_a_first_worker_that_cannot_start_ends_all_with_its_reason(ships: Fleet) -> None:
    gateway = ships.launch(state={"url": "sqlite::memory:"})
    gateway.wait_until(lambda: not is_alive(gateway.pid), "gone")
    output, _ = gateway.shell.communicate(b"KILL\n", timeout=PATIENCE)
    assert int(output) == 1
    gateway.is_over = True
    assert gateway.text().count("cannot start: every process would have a memory of its own: name a file\n") == 1
    assert "Traceback" not in gateway.text()
