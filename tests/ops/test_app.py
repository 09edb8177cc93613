import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp.plugin import AiohttpClient

from gateway.ops.app import ops_application
from gateway.telemetry.health import Health
from gateway.telemetry.metrics import Metrics

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, metrics: Metrics, health: Health) -> Client:
    return await aiohttp_client(ops_application(metrics, health))


async def test_metrics_are_shown_to_prometheus(client: Client, metrics: Metrics) -> None:
    metrics.route("orders").record("GET", 200, "allow", 0.03)
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    assert families["gateway_requests"].samples[0].labels == {"route": "orders", "method": "GET", "status": "2xx"}


async def test_metrics_come_in_the_format_that_was_asked_for(client: Client) -> None:
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type == "application/openmetrics-text"
    assert (await response.text()).endswith("# EOF\n")


async def test_a_process_that_starts_lives_and_is_not_ready(client: Client) -> None:
    assert (await client.get("/healthz")).status == 200
    for path in ("/startupz", "/readyz"):
        response = await client.get(path)
        assert response.status == 503
        assert await response.json() == {"status": "not ready", "blocked_by": ["starting"]}


async def test_a_process_that_started_is_ready(client: Client, health: Health) -> None:
    health.mark_started()
    for path in ("/healthz", "/startupz", "/readyz"):
        response = await client.get(path)
        assert response.status == 200
        assert await response.json() == {"status": "ok", "blocked_by": []}


async def test_what_blocks_readiness_is_named(client: Client, health: Health) -> None:
    health.mark_started()
    health.drain()
    health.block("task revocations")
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.json() == {"status": "not ready", "blocked_by": ["draining", "task revocations"]}
    assert (await client.get("/healthz")).status == 200


async def test_a_process_that_gave_up_asks_for_a_restart(client: Client, health: Health) -> None:
    health.mark_started()
    health.give_up("task revocations")
    assert (await client.get("/healthz")).status == 503


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/startupz"])
async def test_head_is_answered_like_get_without_a_body(client: Client, path: str) -> None:
    get = await client.get(path)
    head = await client.head(path)
    assert head.status == get.status
    assert head.content_type == get.content_type
    assert await head.read() == b""


@pytest.mark.parametrize("path", ["/", "/metrics/", "/admin", "/healthz/x"])
async def test_nothing_else_is_there(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_nothing_can_be_changed(client: Client) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await client.request(method, "/metrics")).status == 405


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nowhere"])
async def test_answers_are_not_stored_and_name_no_version(client: Client, path: str) -> None:
    response = await client.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Server"] == "gateway"
