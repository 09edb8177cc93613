"""What sessions need in the background, in a running gateway; and what is counted shows in its metrics."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.state.base import BadStore
from tests.minting import make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.ports import free_port
from tests.session_gateway import SECTIONS, session_gateway
from tests.trips.running import running
from tests.trips.wire import eventually


async def test_what_is_alarming_when_it_happens_once_is_counted_from_zero_on(tmp_path: Path) -> None:
    """A counter that begins with 1 has not increased, as Prometheus sees it."""
    async with session_gateway(tmp_path) as served:
        numbers = await served.metrics()
        for reason in ("reuse", "early_exchange", "pair_mismatch"):
            assert numbers[f'gateway_sessions_ended_total{{reason="{reason}"}}'] == 0
        for result in ("ok", "wrong_password", "declined", "too_many_attempts", "unavailable"):
            assert numbers[f'gateway_logins_total{{result="{result}"}}'] == 0
        for cause in ("epoch", "rewound", "trimmed"):
            assert numbers[f'gateway_revocation_resyncs_total{{cause="{cause}"}}'] == 0


async def test_what_becomes_of_sessions_is_counted(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        tokens = await served.log_in()
        first = (await served.exchange(tokens["refresh_token"])).json
        assert (await served.exchange(tokens["refresh_token"])).json == first
        assert await served.call(first["access_token"]) == 200
        served.running.clock.now += 2 * 3600
        assert (await served.exchange(tokens["refresh_token"])).status == 400
        assert (await served.exchange("junk")).status == 400
        assert (await served.exchange("junk", client_id="nobody")).status == 401
        url = f"{served.running.url}/auth/login"
        assert (await served.ask("POST", url, json={"username": "alice", "password": "wrong"})).status == 401
        assert (await served.ask("POST", url, json={"username": "alice"})).status == 400
        numbers = await served.metrics()
        assert {
            name: numbers.get(name)
            for name in (
                'gateway_exchanges_total{result="rotated"}',
                'gateway_exchanges_total{result="repeated"}',
                'gateway_exchanges_total{result="reused_refresh_token"}',
                'gateway_exchanges_total{result="unknown_refresh_token"}',
                'gateway_endpoint_answers_total{endpoint="token",result="invalid_client"}',
                'gateway_endpoint_answers_total{endpoint="token",result="ok"}',
                'gateway_endpoint_answers_total{endpoint="login",result="malformed_grant_request"}',
                'gateway_logins_total{result="ok"}',
                'gateway_logins_total{result="wrong_password"}',
                'gateway_sessions_ended_total{reason="reuse"}',
                "gateway_sessions_opened_total",
                "gateway_repeat_age_seconds_count",
                "gateway_exchanges_healed_total",
                "gateway_revocations",
            )
        } == {
            'gateway_exchanges_total{result="rotated"}': 1,
            'gateway_exchanges_total{result="repeated"}': 1,
            'gateway_exchanges_total{result="reused_refresh_token"}': 1,
            'gateway_exchanges_total{result="unknown_refresh_token"}': 1,
            'gateway_endpoint_answers_total{endpoint="token",result="invalid_client"}': 1,
            'gateway_endpoint_answers_total{endpoint="token",result="ok"}': 2,
            'gateway_endpoint_answers_total{endpoint="login",result="malformed_grant_request"}': 1,
            'gateway_logins_total{result="ok"}': 1,
            'gateway_logins_total{result="wrong_password"}': 1,
            'gateway_sessions_ended_total{reason="reuse"}': 1,
            "gateway_sessions_opened_total": 1,
            "gateway_repeat_age_seconds_count": 1,
            "gateway_exchanges_healed_total": 0,
            "gateway_revocations": 1,
        }
        assert numbers["gateway_revocation_staleness_seconds"] < 5
        assert numbers["gateway_revocation_max_staleness_seconds"] == 30
        assert numbers['gateway_store_seconds_count{operation="commit"}'] >= 3
        assert numbers['gateway_store_errors_total{operation="commit"}'] == 0
        [theft] = served.events("refresh_token_reuse")
        assert (theft["subject"], theft["client"], theft["address"]) == ("alice", "web", "127.0.0.1")
        assert theft["distance"] == 1


async def test_junk_beyond_the_limit_is_counted_too(tmp_path: Path) -> None:
    sessions = {**SECTIONS["sessions"], "junk_per_minute": 1}
    async with session_gateway(tmp_path, sessions=sessions) as served:
        assert [(await served.exchange("junk")).status for _ in range(3)] == [400, 429, 429]
        name = 'gateway_endpoint_answers_total{endpoint="token",result="too_many_attempts"}'
        assert (await served.metrics())[name] == 2


async def test_the_first_use_of_an_access_token_comes_into_the_record(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        tokens = await served.log_in()
        assert await served.call(tokens["access_token"]) == 200
        service = served.gateway.snapshot.sessions
        assert service is not None
        async with asyncio.timeout(5):
            while not (session := await service.session_of(tokens["refresh_token"])) or not session.acknowledged:
                await asyncio.sleep(0.02)


async def test_new_keys_are_taken_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.mechanisms.key_file.INTERVAL", 0.05)
    async with session_gateway(tmp_path) as served:
        members = private_jwk(make_key("EdDSA", "a1")), private_jwk(make_key("EdDSA", "a2")), refresh_jwk()
        (tmp_path / "own.json").write_bytes(key_file(*members))
        await eventually(lambda: served.events("keys_reloaded"))
        (tmp_path / "own.json").chmod(0o644)
        await eventually(lambda: [each["level"] for each in served.events("keys_exposed")] == ["warning"])
        assert len((await served.ask("GET", f"{served.running.url}/.well-known/jwks.json")).json["keys"]) == 2


async def test_a_store_that_is_away_at_the_start_only_delays_readiness(tmp_path: Path) -> None:
    """C187"""
    (tmp_path / "state").write_text("where a directory should be")
    async with session_gateway(tmp_path, is_ready=False, state={"url": "sqlite:state/gateway.db"}) as served:
        assert await served.ready() == 503
        assert (await served.metrics())["gateway_revocation_staleness_seconds"] == float("inf")
        assert await served.ready() == 503
        (tmp_path / "state").unlink()
        async with asyncio.timeout(10):
            while await served.ready() != 200:
                await asyncio.sleep(0.05)
        await served.log_in()


async def test_a_store_that_must_not_be_used_keeps_it_from_starting(tmp_path: Path) -> None:
    with pytest.raises(BadStore):
        async with session_gateway(tmp_path, is_ready=False, state={"url": "sqlite::memory:"}):
            pass


async def test_without_state_there_is_nothing_to_keep_up(tmp_path: Path) -> None:
    ops = f"127.0.0.1:{free_port()}"
    async with running(tmp_path, json.dumps({"ops": {"address": ops}})) as gateway:
        text = gateway.gateway.metrics.render(None)[0].decode()
        assert gateway.gateway.health.ready().is_ok
    assert "gateway_sessions_opened_total 0.0" in text
    assert "\ngateway_revocation_staleness_seconds " not in text


async def test_state_alone_follows_revocations(tmp_path: Path) -> None:
    text = json.dumps({"state": {"url": "sqlite:state.db"}})
    async with running(tmp_path, text) as gateway:
        await eventually(lambda: gateway.gateway.health.ready().is_ok)


async def test_theft_is_told_to_the_webhook(tmp_path: Path) -> None:
    alarm = {"url": f"http://127.0.0.1:{free_port()}/hook", "secret_file": "alarm-secret"}
    sessions = {**SECTIONS["sessions"], "alarm": alarm}
    async with session_gateway(tmp_path, sessions=sessions) as served:
        tokens = await served.log_in()
        await served.exchange(tokens["refresh_token"])
        served.running.clock.now += 2 * 3600
        await served.exchange(tokens["refresh_token"])
        assert 'gateway_alarms_total{result="ok"}' in await served.metrics()
        assert len(served.events("refresh_token_reuse")) == 1


@pytest.mark.parametrize("notice", ["keys_exposed", "state_failed", "keys_reloaded"])
async def test_what_is_noticed_has_its_level(tmp_path: Path, notice: str) -> None:
    async with session_gateway(tmp_path) as served:
        tell: Callable[[str, dict[str, Any]], None] = served.gateway._notice
        tell(notice, {"file": "x"})
        [event] = served.events(notice)
    assert event["level"] == {"keys_exposed": "warning", "state_failed": "error", "keys_reloaded": "info"}[notice]
