from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from gateway.ops.app import ops_pages
from gateway.ops.pages import PageServer
from gateway.telemetry.health import Health
from gateway.telemetry.metrics import Metrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(metrics: Metrics, health: Health) -> AsyncIterator[ClientSession]:
    server = await PageServer.listening(ops_pages(metrics, health), ("127.0.0.1", 0))
    host, port = server.addresses[0]
    async with ClientSession(f"http://{host}:{port}") as session:
        yield session
    await server.cleanup()


async def test_metrics_are_shown_to_prometheus(client: ClientSession, metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03)
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    assert families["gateway_requests"].samples[0].labels == {"route": "orders", "method": "GET", "status": "2xx"}


async def test_metrics_come_in_the_format_that_was_asked_for(client: ClientSession) -> None:
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type == "application/openmetrics-text"
    assert (await response.text()).endswith("# EOF\n")


async def test_a_process_that_starts_lives_and_is_not_ready(client: ClientSession) -> None:
    assert (await client.get("/healthz")).status == 200
    for path in ("/startupz", "/readyz"):
        response = await client.get(path)
        assert response.status == 503
        assert await response.json() == {"status": "not ready", "blocked_by": ["starting"]}


async def test_a_process_that_started_is_ready(client: ClientSession, health: Health) -> None:
    health.mark_started()
    for path in ("/healthz", "/startupz", "/readyz"):
        response = await client.get(path)
        assert response.status == 200
        assert await response.json() == {"status": "ok", "blocked_by": []}


async def test_what_blocks_readiness_is_named(client: ClientSession, health: Health) -> None:
    health.mark_started()
    health.drain()
    health.block("task revocations")
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.json() == {"status": "not ready", "blocked_by": ["draining", "task revocations"]}
    assert (await client.get("/healthz")).status == 200


async def test_a_process_that_gave_up_asks_for_a_restart(client: ClientSession, health: Health) -> None:
    health.mark_started()
    health.give_up("task revocations")
    assert (await client.get("/healthz")).status == 503


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/startupz"])
async def test_head_is_answered_like_get_without_a_body(client: ClientSession, path: str) -> None:
    get = await client.get(path)
    head = await client.head(path)
    assert head.status == get.status
    assert head.content_type == get.content_type
    assert await head.read() == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "/admin", "/healthz/x"])
async def test_nothing_else_is_there(client: ClientSession, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_nothing_can_be_changed(client: ClientSession) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await client.request(method, "/metrics")
        assert response.status == 405
        assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nowhere"])
async def test_answers_are_not_stored_and_name_no_version(client: ClientSession, path: str) -> None:
    response = await client.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "gateway"
