"""Traces of a whole gateway, as a receiver of OTLP gets them; and what upstreams get of the context."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.session_gateway import PASSWORD, SECTIONS, session_gateway
from tests.trips.receiving import Received, Receiver, receiver
from tests.trips.reloading import reloading
from tests.trips.running import get, reserved_port, running, token
from tests.trips.wire import OK, UpstreamWire, ask, connected, eventually, upstream

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"traceparent: 00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"traceparent: 00-{TRACE}-{SPAN}-00"
TRUSTING = "trusted_proxies: [127.0.0.0/8]\n"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as got:
        yield got


def traced(got: Receiver, **more: Any) -> str:
    return f"traces: {json.dumps({'endpoint': got.url, **more})}\n"


def parts(line: str | None) -> tuple[str, str, str]:
    """Return trace id, span id and flags of a `traceparent`."""
    match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", line or "")
    assert match is not None, line
    return match[1], match[2], match[3]


async def test_a_request_is_a_span_with_one_for_the_decision_and_one_for_the_upstream(
    tmp_path: Path, collector: Receiver
) -> None:
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate:
        headers = ("User-Agent: curl/8", "Cookie: a=a-cookie-value")
        answer = await ask(gate.port, get("/api/x?code=a-query-value", *headers, bearer=token()))
        assert answer.status == 200
    request, decide, client = collector.one("GET api"), collector.one("decide"), collector.one("GET app")
    assert (request.kind, decide.kind, client.kind) == ("server", "internal", "client")
    assert request.parent_id == ""
    assert decide.parent_id == client.parent_id == request.span_id
    assert decide.trace_id == client.trace_id == request.trace_id
    [seen] = app.requests
    assert parts(seen.one("traceparent")) == (request.trace_id, client.span_id, "01")
    assert request.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/api/**",
        "url.path": "/api/x",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "gateway.route": "api",
        "gateway.reason": "allow",
        "gateway.request_id": seen.one("X-Request-ID"),
    }
    assert client.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": app.port,
        "gateway.upstream": "app",
        "gateway.target": app.url,
    }
    assert request.began_at <= decide.began_at <= decide.ended_at <= request.ended_at
    assert request.began_at <= client.began_at <= client.ended_at <= request.ended_at


async def test_no_secret_is_in_a_span(tmp_path: Path, collector: Receiver) -> None:
    good = token()
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate:
        for bearer in (good, good[:-4], "a-token-that-is-none"):
            await ask(gate.port, get("/api/x?code=a-query-value", "Cookie: a=a-cookie-value", bearer=bearer))
    assert len(collector.named("GET api")) == 3
    secrets = (good, good[-40:-4], good.split(".")[1], "a-token-that", "a-query-value", "a-cookie-value", "alice")
    assert [secret for secret in secrets if secret.encode() in collector.raw] == []


async def test_a_known_token_is_decided_without_a_span(tmp_path: Path, collector: Receiver) -> None:
    bearer = token()
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate, connected(gate.port) as client:
        for _ in range(3):
            await client.ask(get("/api/x", bearer=bearer))
    assert (len(collector.named("GET api")), len(collector.named("decide"))) == (3, 1)


async def test_a_refusal_has_its_reason_and_no_upstream(tmp_path: Path, collector: Receiver) -> None:
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate:
        assert (await ask(gate.port, get("/api/x"))).status == 401
        assert (await ask(gate.port, get("/nowhere"))).status == 404
        assert (await ask(gate.port, b"BREW /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")).status in (400, 404)
    refused, lost = collector.one("GET api"), collector.one("GET")
    assert (refused.attributes["gateway.reason"], refused.attributes["http.response.status_code"]) == (
        *("missing_credentials", 401),
    )
    assert not refused.is_error  # by the conventions, it is the client's
    assert lost.attributes["gateway.reason"] == "no_route"
    assert "gateway.route" not in lost.attributes
    assert {span.kind for span in collector.spans} == {"server"}


async def test_an_upstream_that_cannot_be_reached_is_an_error_of_both_spans(
    tmp_path: Path, collector: Receiver
) -> None:
    with reserved_port() as port:
        async with running(tmp_path, traced(collector), f"http://127.0.0.1:{port}") as gate:
            assert (await ask(gate.port, get("/open/x"))).status == 502
    request, client = collector.one("GET open"), collector.one("GET app")
    assert (request.is_error, client.is_error) == (True, True)
    assert request.attributes["error.type"] == client.attributes["error.type"] == "upstream_unreachable"
    assert client.parent_id == request.span_id


async def test_a_request_that_is_sent_again_has_a_span_for_each_time(tmp_path: Path, collector: Receiver) -> None:
    async def hang_up_on_the_second(wire: UpstreamWire) -> None:
        await wire.request()
        await wire.send(OK)
        await wire.request()
        if wire.upstream.connections > 1:
            await wire.send(OK)

    async with (
        upstream(hang_up_on_the_second) as app,
        running(tmp_path, traced(collector), app.url) as gate,
        connected(gate.port) as client,
    ):
        for _ in range(2):
            assert (await client.ask(get("/open/x"))).status == 200
    heads = [parts(each.one("traceparent"))[1] for each in app.requests]
    first, failed, again = sorted(collector.named("GET app"), key=lambda span: span.began_at)
    assert heads == [first.span_id, failed.span_id, again.span_id]
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "upstream_closed")
    assert (again.is_error, again.attributes["http.request.resend_count"]) == (False, 1)
    assert failed.parent_id == again.parent_id != first.parent_id


async def test_the_context_of_a_trusted_proxy_goes_on(tmp_path: Path, collector: Receiver) -> None:
    async with upstream() as app, running(tmp_path, TRUSTING + traced(collector, ratio=0), app.url) as gate:
        await ask(gate.port, get("/open/x", PARENT, "tracestate: a=1,b=2"))
        await ask(gate.port, get("/open/y", UNSAMPLED))
        await ask(gate.port, get("/open/z", "traceparent: 00-1-2-3", "tracestate: a=1"))
    request, client = collector.one("GET open"), collector.one("GET app")
    assert (request.trace_id, request.parent_id) == (TRACE, SPAN)
    first, second, third = app.requests
    assert parts(first.one("traceparent")) == (TRACE, client.span_id, "01")
    assert first.one("tracestate") == "a=1,b=2"
    assert parts(second.one("traceparent"))[::2] == (TRACE, "00")
    assert parts(third.one("traceparent"))[2] == "00"  # a new trace, which the ratio does not record
    assert parts(third.one("traceparent"))[0] != TRACE
    assert third.one("tracestate") is None


async def test_the_context_of_a_stranger_counts_for_nothing(tmp_path: Path, collector: Receiver) -> None:
    """Else anybody could have every request recorded, or hide in a trace of others."""
    async with upstream() as app, running(tmp_path, traced(collector, ratio=0), app.url) as gate:
        await ask(gate.port, get("/open/x", PARENT, "tracestate: a=1"))
    [seen] = app.requests
    assert parts(seen.one("traceparent"))[0] != TRACE
    assert parts(seen.one("traceparent"))[2] == "00"
    assert seen.one("tracestate") is None
    assert collector.spans == []


async def test_without_traces_the_context_of_a_trusted_proxy_passes_as_it_is(tmp_path: Path) -> None:
    async with upstream() as app, running(tmp_path, TRUSTING, app.url) as gate:
        await ask(gate.port, get("/open/x", PARENT, "tracestate: a=1"))
        assert gate.gateway.plane.traces is None
    [seen] = app.requests
    assert (seen.one("traceparent"), seen.one("tracestate")) == (PARENT.partition(": ")[2], "a=1")


async def test_the_ratio_decides_for_traces_that_begin_here(tmp_path: Path, collector: Receiver) -> None:
    async with (
        upstream() as app,
        running(tmp_path, traced(collector, ratio=0.5), app.url) as gate,
        connected(gate.port) as client,
    ):
        for _ in range(60):
            await client.ask(get("/open/x"))
    sampled = [parts(each.one("traceparent")) for each in app.requests]
    recorded = {trace_id for trace_id, _, flags in sampled if flags == "01"}
    assert 0 < len(recorded) < 60
    assert {span.trace_id for span in collector.named("GET open")} == recorded


async def test_the_receiver_is_told_who_sends_and_gets_the_headers_of_the_file(
    tmp_path: Path, collector: Receiver
) -> None:
    (tmp_path / "headers").write_text("X-Api-Key: the-key\nX-Tenant: t1\n")
    text = traced(collector, headers_file="headers", service="edge")
    async with upstream() as app, running(tmp_path, text, app.url) as gate:
        await ask(gate.port, get("/open/x"))
    assert (collector.headers[0]["x-api-key"], collector.headers[0]["x-tenant"]) == ("the-key", "t1")
    assert collector.resources[0]["service.name"] == "edge"


async def test_the_variables_of_opentelemetry_hold_where_the_settings_say_nothing(
    tmp_path: Path, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=shop,service.name=another")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=the-key")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with upstream() as app, running(tmp_path, traced(collector, service="edge"), app.url) as gate:
        await ask(gate.port, get("/open/x"))
    resource = collector.resources[0]
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("edge", "shop")
    assert collector.headers[0]["x-api-key"] == "the-key"


async def test_a_disabled_sdk_of_opentelemetry_costs_spans_and_nothing_else(
    tmp_path: Path, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate:
        assert (await ask(gate.port, get("/api/x", bearer=token()))).status == 200
    trace_id, span_id, _ = parts(app.requests[0].one("traceparent"))
    assert int(trace_id, 16), "no upstream gets an invalid context"
    assert int(span_id, 16)
    assert collector.headers == []


async def test_a_receiver_that_fails_costs_spans_and_nothing_else(
    tmp_path: Path, collector: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    collector.status = 400
    async with upstream() as app, reloading(tmp_path, traced(collector), app.url) as gate:
        assert (await ask(gate.port, get("/open/x"))).status == 200
        await gate.noticed("traces_failed")
        text = gate.gateway.metrics.render(None)[0].decode()
        assert 'gateway_spans_total{result="failed"} 2.0' in text
    assert "Failed to export" not in capfd.readouterr().err


async def test_a_reload_begins_and_ends_traces(tmp_path: Path, collector: Receiver) -> None:
    async with upstream() as app, reloading(tmp_path, "", app.url) as gate, connected(gate.port) as client:
        await client.ask(get("/open/1"))
        await gate.change(traced(collector))
        await client.ask(get("/open/2"))
        before = gate.gateway.plane.traces
        await gate.change(traced(collector), realm="other")
        assert gate.gateway.plane.traces is before
        await gate.change("")
        await client.ask(get("/open/3"))
        await eventually(lambda: collector.named("GET open"))
    assert [span.attributes["url.path"] for span in collector.named("GET open")] == ["/open/2"]
    assert [each.one("traceparent") is not None for each in app.requests] == [False, True, False]


async def test_an_exchange_shows_what_the_store_took_of_it(tmp_path: Path, collector: Receiver) -> None:
    routes = [{**SECTIONS["routes"][0], "refresh_inline": True, "authenticators": ["own"]}]
    traces = {"endpoint": collector.url}
    async with session_gateway(tmp_path, traces=traces, routes=routes) as served:
        tokens = await served.log_in()
        tokens = (await served.exchange(tokens["refresh_token"])).json
        headers = {"Authorization": f"Bearer {tokens['refresh_token']}"}
        assert (await served.ask("GET", f"{served.running.url}/api/x", headers=headers)).status == 200
    login = collector.one("POST gateway:login")
    of_login = [span for span in collector.spans if span.trace_id == login.trace_id]
    assert ("POST gateway:login", "login") in tree(of_login)
    assert ("login", "store commit") in tree(of_login)
    exchange = collector.one("exchange")
    assert exchange.attributes == {"gateway.endpoint": "token", "http.response.status_code": 200}
    assert tree([span for span in collector.spans if span.trace_id == exchange.trace_id]) == {
        ("", "POST gateway:token"),
        ("POST gateway:token", "exchange"),
        ("exchange", "store load"),
        ("exchange", "store commit"),
    }
    inline = collector.one("GET api")
    assert {("GET api", "decide"), ("decide", "store load"), ("decide", "store commit"), ("GET api", "GET app")} == {
        each for each in tree([span for span in collector.spans if span.trace_id == inline.trace_id]) if each[0]
    }
    [decide] = [span for span in collector.named("decide") if span.trace_id == inline.trace_id]
    assert decide.attributes == {"gateway.waited": True}
    secrets = [tokens["access_token"], tokens["refresh_token"], PASSWORD, "alice"]
    assert [secret for secret in secrets if secret.encode() in collector.raw] == []


async def test_a_login_that_fails_is_seen(tmp_path: Path, collector: Receiver) -> None:
    async with session_gateway(tmp_path, traces={"endpoint": collector.url}) as served:
        url = f"{served.running.url}/auth/login"
        await served.ask("POST", url, json={"username": "alice", "password": "wrong"})
    assert collector.one("login").attributes["http.response.status_code"] == 401
    assert collector.one("POST gateway:login").attributes["gateway.route"] == "gateway:login"


async def test_the_access_log_has_the_trace(
    tmp_path: Path, collector: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    async with upstream() as app, running(tmp_path, traced(collector), app.url) as gate:
        await ask(gate.port, get("/open/x"))
    [line] = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert line["trace_id"] == collector.one("GET open").trace_id


def tree(spans: list[Received]) -> set[tuple[str, str]]:
    """Return each span's name with that of its parent."""
    names = {span.span_id: span.name for span in spans}
    return {(names.get(span.parent_id, ""), span.name) for span in spans}
