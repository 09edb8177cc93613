"""`gateway explain --request-id` says what a running gateway decided about a request, why, and what to do."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.cli import main
from gateway.commands.asking.decision import as_text
from tests.commands.asked import asked_gateway, command
from tests.ports import free_port
from tests.trips.running import Running

Captured = pytest.CaptureFixture[str]
LIMIT = {"requests": 100, "per": "1m", "by": "client_address"}
ORDERS = {
    "id": "orders",
    "match": {"path": "/orders/**", "methods": ["GET"], "hosts": ["127.0.0.1"]},
    "upstream": "app",
    "authenticators": ["own"],
    "require": [{"scopes": ["orders:read"]}],
    "rate_limits": [LIMIT],
}
OPEN = {"id": "open", "match": {"path": "/open"}, "upstream": "app", "access": "public"}


async def id_of(gateway: Running, path: str, request_id: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(f"{gateway.url}{path}") as response:
        return response.headers.get("X-Request-ID", request_id)


async def test_a_refusal_is_told_with_its_reason_and_what_to_do(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/admin.sock"
    async with asked_gateway(tmp_path, address, routes=[ORDERS, OPEN]) as gateway:
        refused = await id_of(gateway, "/orders/7", "")
        ended = await command("explain", "--config", tmp_path / "config.yaml", "--request-id", refused)
        assert (ended.status, ended.err) == (1, "")
        lines = [" ".join(line.split()) for line in ended.out.splitlines()]
        expected = [
            f"id {refused}",
            "asked GET /orders/7",
            "Route orders",
            "takes GET /orders/** at 127.0.0.1",
            "access protected, by own",
            "token in Authorization",
            "requires scope orders:read",
            "limit 100 in 60 s by client_address",
            "DENY 401 missing_credentials",
            "no token in Authorization",
        ]
        assert [words for words in expected if words not in lines] == []
        assert [line.partition(":")[0] for line in lines[-2:]] == ["means", "what to do"]
        ended = await command("explain", "--config", tmp_path / "config.yaml", "--request-id", refused, "--json")
        assert json.loads(ended.out)["decision"]["reason"] == "missing_credentials"


async def test_the_exit_status_says_what_became_of_it(tmp_path: Path) -> None:
    words = ("explain", "--config", tmp_path / "config.yaml", "--request-id")
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}", routes=[ORDERS, OPEN]) as gateway:
        await id_of(gateway, "/open", "")
        tail = await command("tail", "--config", tmp_path / "config.yaml", "--once", "--json")
        passed = await command(*words, json.loads(tail.out)["request_id"])
        assert passed.status == 0
        assert "ALLOW  200 allow" in passed.out
        assert "upstream  app, http://127.0.0.1:" in passed.out
        nobody = await command(*words, "../me")
        assert (nobody.status, nobody.out) == (2, "")
        assert "no decision about this request is kept" in nobody.err
    away = await command(*words, "x")
    assert (away.status, away.out) == (2, "")
    assert "is the gateway running" in away.err


@pytest.mark.parametrize(
    "words",
    [["--method", "GET"], ["--token", "t"], ["--header", "A: b"], ["--peer", "::1"], ["--at", "1"], ["--offline"]],
)
def test_what_belongs_to_a_url_does_not_go_with_the_id_of_a_request(words: list[str], capsys: Captured) -> None:
    assert main(["explain", "--request-id", "x", *words]) == 2
    assert capsys.readouterr().err == f"{words[0]}: only with --url\n"


@pytest.mark.parametrize("words", [[], ["--url", "http://x/", "--request-id", "x"]])
def test_one_of_the_two_must_be_said(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["explain", *words])
    assert left.value.code == 2


def decision(**fields: Any) -> dict[str, Any]:
    nothing = ("subject", "authenticator", "token_id", "session", "upstream", "target", "added_ms", "upstream_ms")
    return {
        **dict.fromkeys((*nothing, "user_agent", "trace_id", "detail", "route")),
        "request_id": "r1",
        "time": 1_763_800_000.0,
        "method": "GET",
        "path": "/x",
        "client": "203.0.113.9",
        "protocol": "http/1.1",
        "status": 200,
        "reason": "allow",
        "outcome": "allow",
        "duration_ms": 1.5,
        "claims": {},
        **fields,
    }


def told(**fields: Any) -> str:
    answer = {"decision": decision(**fields), "meaning": "", "advice": "", "route": None}
    return as_text(answer, 1_763_800_060.0)


def test_only_what_is_known_is_told() -> None:
    assert told() == "\n".join(
        [
            "Request",
            "  id        r1",
            "  at        2025-11-22 08:26:40 UTC, 60 seconds ago",
            "  asked     GET /x",
            "  from      203.0.113.9, http/1.1",
            "  took      1.5 ms",
            "",
            "ALLOW  200 allow",
        ]
    )


def test_all_that_is_known_is_told() -> None:
    caller = {
        "subject": "alice",
        "authenticator": "main",
        "token_id": "j1",
        "session": "s1",
        "claims": {"email": "a@b.c"},
    }
    way = {"upstream": "app", "target": "http://10.0.0.1:9000", "added_ms": 0.1, "upstream_ms": 1.2, "trace_id": "abc"}
    text = told(**caller, **way)
    for words in (
        "caller    alice, proven by main",
        "claims    email = a@b.c",
        "token     j1",
        "session   s1",
        "upstream  app, http://10.0.0.1:9000",
        "took      1.5 ms, 0.1 ms added, 1.2 ms upstream",
        "trace     abc",
    ):
        assert f"  {words}\n" in text


def test_a_route_that_is_gone_is_named() -> None:
    assert "Route old\n  is not in the configuration any more" in told(route="old")


@pytest.mark.parametrize("field", ["path", "client", "subject", "user_agent", "request_id", "detail"])
def test_terminal_injection_what_clients_choose_does_nothing_to_a_terminal(field: str) -> None:
    text = told(**{field: "a\x1b[2J\nb"})
    assert all(line.isprintable() for line in text.splitlines())
    assert r"a\x1b[2J\nb" in text
