"""The audit log of a whole gateway: what an auditor asks about is in it, and nothing that is secret."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config.load import load_text
from gateway.mechanisms.base import BadSetting
from gateway.telemetry.audit import EVENTS
from tests.minting import jwks, make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.ports import free_port
from tests.session_gateway import ADMIN_TOKEN, LONG_AGO, PASSWORD, SECTIONS, SessionGateway, session_gateway
from tests.trips.receiving import receiver
from tests.trips.reloading import reloading
from tests.trips.running import KEY, config, get
from tests.trips.wire import ask, eventually

LOG: dict[str, Any] = {**SECTIONS["log"], "audit": "audit.log"}
WRONG = "a-wrong-password-that-nobody-may-see"
CLIENT_SECRET = "the-secret-of-a-client-that-nobody-may-see"


def lines(directory: Path, *names: str) -> list[dict[str, Any]]:
    """Return what was written, or only the events of these names."""
    found = [json.loads(line) for line in (directory / "audit.log").read_text().splitlines()]
    return [line for line in found if not names or line["event"] in names]


@asynccontextmanager
async def audited(directory: Path, **sections: Any) -> AsyncIterator[SessionGateway]:
    async with session_gateway(directory, log=LOG, **sections) as served:
        yield served


async def written(directory: Path, name: str, number: int = 1) -> dict[str, Any]:
    """Wait until so many events of a name are written; return the last of them."""
    await eventually(lambda: len(lines(directory, name)) >= number)
    return lines(directory, name)[number - 1]


def about(line: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(line.get(name) for name in names)


async def test_logins_are_written_with_who_it_was_and_why_it_failed(tmp_path: Path) -> None:
    async with audited(tmp_path) as served:
        tokens = await served.log_in()
        good = await written(tmp_path, "login_succeeded")
        assert about(good, "actor", "subject", "client_id", "session", "endpoint", "address") == (
            *("user:alice", "alice", "web", await served.sid_of(tokens), "login", "127.0.0.1"),
        )
        url = f"{served.running.url}/auth/login"
        await served.ask("POST", url, json={"username": "bob", "password": WRONG})
        bad = await written(tmp_path, "login_failed")
        assert about(bad, "login", "reason", "endpoint", "actor") == ("bob", "wrong_password", "login", None)
        assert bad["request_id"] != good["request_id"] is not None
        await served.ask("POST", url, json={"username": "bob", "password": PASSWORD, "client_id": "nobody"})
        assert (await written(tmp_path, "login_failed", 2))["reason"] == "invalid_client"


async def test_exchanges_that_fail_and_theft_are_written_and_good_ones_are_not(tmp_path: Path) -> None:
    async with audited(tmp_path) as served:
        tokens = await served.log_in()
        sid = await served.sid_of(tokens)
        fresh = (await served.exchange(tokens["refresh_token"])).json
        assert await served.call(fresh["access_token"]) == 200
        assert (await served.exchange("junk")).status == 400
        junk = await written(tmp_path, "exchange_failed")
        assert about(junk, "reason", "endpoint", "client_id") == ("unknown_refresh_token", "token", "-")
        served.running.clock.now += 2 * 3600
        assert (await served.exchange(tokens["refresh_token"])).status == 400
        stolen = await written(tmp_path, "session_stolen")
        assert about(stolen, "session", "subject", "reason", "distance") == (sid, "alice", "reuse", 1)
        assert about(stolen, "address", "actor") == ("127.0.0.1", "gateway")
        failed = await written(tmp_path, "exchange_failed", 2)
        assert failed["reason"] == "reused_refresh_token"
        assert failed["request_id"] == stolen["request_id"] is not None
        url = f"{served.running.url}/oauth/token"
        await served.ask("POST", url, data={"grant_type": "password"})
        assert (await written(tmp_path, "exchange_failed", 3))["reason"] == "unsupported_grant_type"


async def test_an_exchange_on_the_way_that_fails_is_written_with_its_request(tmp_path: Path) -> None:
    routes = [{**SECTIONS["routes"][0], "refresh_inline": True, "authenticators": ["own"]}]
    async with audited(tmp_path, routes=routes) as served:
        tokens = await served.log_in()
        await served.admin("DELETE", "/subjects/alice/sessions")
        headers = {"Authorization": f"Bearer {tokens['refresh_token']}"}
        answer = await served.ask("GET", f"{served.running.url}/api/x", headers=headers)
        assert answer.status == 401
        line = await written(tmp_path, "exchange_failed")
        assert about(line, "endpoint", "address", "request_id") == (
            *("inline", "127.0.0.1", answer.headers["X-Request-ID"]),
        )


async def test_the_end_of_a_session_says_who_ended_it(tmp_path: Path) -> None:
    async with audited(tmp_path) as served:
        one, two, three = [await served.log_in() for _ in range(3)]
        form = {"token": two["refresh_token"], "client_id": "web"}
        assert (await served.ask("POST", f"{served.running.url}/oauth/revoke", data=form)).status == 200
        ended = await written(tmp_path, "session_ended")
        assert about(ended, "reason", "actor", "subject") == ("revoked", "client:web", "alice")
        form = {"token": three["access_token"], "client_id": "web"}
        assert (await served.ask("POST", f"{served.running.url}/oauth/revoke", data=form)).status == 200
        revoked = await written(tmp_path, "token_revoked")
        assert about(revoked, "actor", "subject", "client_id") == ("client:web", "alice", "web")
        assert revoked["token_id"]
        json_body = {"refresh_token": one["refresh_token"]}
        assert (await served.ask("POST", f"{served.running.url}/auth/logout", json=json_body)).status == 204
        ended = await written(tmp_path, "session_ended", 2)
        assert about(ended, "reason", "actor") == ("logout", "user:alice")
        assert (await served.admin("DELETE", "/subjects/alice/sessions")).status == 200
        ended = await written(tmp_path, "session_ended", 3)
        assert about(ended, "reason", "actor", "address") == ("admin", "admin token", "127.0.0.1")
        form = {"token": "x", "client_id": "nobody"}
        await served.ask("POST", f"{served.running.url}/oauth/revoke", data=form)
        refused = await written(tmp_path, "request_refused")
        assert about(refused, "endpoint", "reason") == ("revoke", "invalid_client")


async def test_what_administrators_do_and_who_tries_to_be_one_is_written(tmp_path: Path) -> None:
    async with audited(tmp_path) as served:
        await served.admin("POST", "/revocations", json={"level": "client", "name": "web"})
        cut = await written(tmp_path, "tokens_cut_off")
        assert about(cut, "level", "name", "actor") == ("client", "web", "admin token")
        change = await written(tmp_path, "admin_change")
        assert about(change, "action", "what", "name", "confirmed", "actor") == (
            *("cut_off", "client", "web", True, "admin token"),
        )
        assert (await served.admin("GET", "/subjects/alice/sessions", token="a-guess")).status == 401
        refused = await written(tmp_path, "admin_refused")
        assert about(refused, "method", "path", "actor") == ("GET", "/admin/api/v1/subjects/alice/sessions", None)


async def test_keys_that_change_are_written(tmp_path: Path) -> None:
    async with audited(tmp_path) as served:
        new = key_file(private_jwk(make_key("EdDSA", "a2"), LONG_AGO), refresh_jwk(0, LONG_AGO))
        (tmp_path / "own.json").write_bytes(new)
        served.gateway.reload_soon()
        await served.gateway._upkeep.look_at_keys()
        assert about(await written(tmp_path, "keys_changed"), "kids", "actor") == (["a2"], "gateway")
        (tmp_path / "own.json").write_bytes(b"{}")
        await served.gateway._upkeep.look_at_keys()
        assert (await written(tmp_path, "keys_rejected"))["reason"]


async def test_start_stop_and_reloads_are_written_with_the_digest_of_the_file(tmp_path: Path) -> None:
    log = {"level": "info", "access": False, "audit": "audit.log"}
    async with reloading(tmp_path, log=log) as gate:
        started = await written(tmp_path, "gateway_started")
        first = started["digest"]
        assert started["file"] == str(gate.file)
        gate.write(log=log, realm="other")
        await gate.ask()
        changed = await written(tmp_path, "config_reloaded")
        assert about(changed, "actor", "file", "digest") == (
            *("signal", str(gate.file), sha256(gate.file.read_bytes()).hexdigest()),
        )
        gate.file.write_text("routes: [")
        await gate.ask()
        bad = await written(tmp_path, "config_rejected")
        assert about(bad, "reason", "actor") == ("mistakes", "signal")
        assert bad["mistakes"]
        assert len({first, changed["digest"], bad["digest"]}) == 3
        gate.write(log=log, realm="other", workers=3)
        await gate.ask()
        assert (await written(tmp_path, "config_rejected", 2))["reason"] == "needs_restart"
        gate.write(log={**log, "audit": "elsewhere/audit.log"})
        event = await gate.ask()
        assert event["event"] == "config_rejected"
        assert "elsewhere/audit.log" in event["mistakes"][0]
    assert [line["event"] for line in lines(tmp_path)][-1] == "gateway_stopped"


async def test_a_reload_moves_the_log_and_ends_it_with_a_word(tmp_path: Path) -> None:
    log = {"level": "info", "access": False, "audit": "audit.log"}
    async with reloading(tmp_path, log=log) as gate:
        await gate.change(log={**log, "audit": "second.log"})
        await eventually(lambda: "config_reloaded" in (tmp_path / "second.log").read_text())
        assert (await written(tmp_path, "audit_log_moved"))["to"] == "second.log"
        await gate.change(log={"level": "info", "access": False})
        await eventually(lambda: "audit_log_moved" in (tmp_path / "second.log").read_text())
        await gate.change(log=log)
        assert len(lines(tmp_path, "config_reloaded")) == 1
    assert lines(tmp_path)[-1]["event"] == "gateway_stopped"


async def test_workers_write_whole_lines_beside_events_and_send_their_spans(tmp_path: Path) -> None:
    """Real processes: what each writes to standard error, and what each sends before it ends."""
    port = free_port()
    (tmp_path / "keys.json").write_bytes(jwks(KEY))
    with receiver() as collector:
        sections = {
            "listen": [{"address": f"127.0.0.1:{port}"}],
            "workers": 2,
            "log": {"audit": "stderr", "access": False},
            "traces": {"endpoint": collector.url},
        }
        file = tmp_path / "gateway.yaml"
        file.write_text(json.dumps({**config(), **sections}))
        gateway = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", str(file)), stderr=asyncio.subprocess.PIPE
        )
        assert gateway.stderr is not None
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(60):
                while not any(line["event"] == "listening" and "workers" in line for line in found):
                    found.append(json.loads(await gateway.stderr.readline()))
                statuses = [(await ask(port, get("/nowhere"))).status for _ in range(20)]
                gateway.send_signal(signal.SIGTERM)
                found += [json.loads(line) for line in (await gateway.stderr.read()).splitlines()]
                assert await gateway.wait() == 0
        finally:
            if gateway.returncode is None:
                gateway.kill()
            await gateway.communicate()
    assert statuses == [404] * 20
    audit = sorted((line["event"], line["worker"]) for line in found if line.get("log") == "audit")
    assert audit == [(event, worker) for event in ("gateway_started", "gateway_stopped") for worker in (1, 2)]
    assert len(collector.named("GET")) == 20


async def test_a_gateway_does_not_start_without_the_log_that_it_should_have(tmp_path: Path) -> None:
    text = json.dumps(config(json.dumps({"log": {"audit": "nowhere/audit.log"}})))
    (tmp_path / "keys.json").write_text('{"keys": []}')
    with pytest.raises(BadSetting, match=r"nowhere/audit\.log: No such file"):
        Gateway(load_text(text, {}).config, tmp_path)


async def test_no_secret_is_ever_in_it(tmp_path: Path) -> None:
    """Whatever clients, users and operators send: passwords, tokens, cookies, secrets, queries."""
    async with audited(tmp_path) as served:
        url = served.running.url
        secrets = {PASSWORD, WRONG, CLIENT_SECRET, ADMIN_TOKEN, "a-guess-of-the-admin-token", "a-query-value"}
        tokens = await served.log_in()
        fresh = (await served.exchange(tokens["refresh_token"], client_secret=CLIENT_SECRET, client_id="web")).json
        fresh = (await served.exchange(tokens["refresh_token"])).json
        secrets |= {each[name] for each in (tokens, fresh) for name in ("access_token", "refresh_token")}
        cookies = {"Cookie": f"__Host-refresh={tokens['refresh_token']}; other=a-cookie-value"}
        secrets.add("a-cookie-value")
        await served.ask("POST", f"{url}/auth/login?token=a-query-value", json={"username": "x", "password": WRONG})
        await served.ask(
            "POST", f"{url}/auth/refresh?a=a-query-value", json={"refresh_token": "rt1.x"}, headers=cookies
        )
        await served.ask("POST", f"{url}/auth/logout", json={"refresh_token": tokens["refresh_token"]}, headers=cookies)
        await served.exchange(fresh["refresh_token"], client_secret=CLIENT_SECRET, client_id="web")
        await served.exchange(fresh["refresh_token"])
        await served.ask("POST", f"{url}/oauth/revoke", data={"token": fresh["access_token"], "client_id": "web"})
        await served.admin("GET", "/subjects/alice/sessions?device=a-query-value", token="a-guess-of-the-admin-token")
        await served.admin("POST", "/subjects/alice/credential-change")
    text = (tmp_path / "audit.log").read_text()
    assert len(text.splitlines()) > 8
    assert [secret for secret in secrets if secret in text or secret[-40:] in text] == []
    assert {line["event"] for line in lines(tmp_path)} <= set(EVENTS)


async def test_what_cannot_be_written_is_counted_and_stops_nobody(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / "audit.log")
    async with audited(tmp_path) as served:
        tokens = await served.log_in()
        assert await served.call(tokens["access_token"]) == 200
        async with asyncio.timeout(10):
            while (await served.metrics())["gateway_audit_log_dropped_total"] < 2:
                await asyncio.sleep(0.05)
        await eventually(lambda: served.events("audit_log_failed"))
        assert len(served.events("audit_log_failed")) == 1
