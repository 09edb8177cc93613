"""The ring of decisions: what is kept, what is shown of it, and what never is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.model.principal import Principal
from gateway.telemetry.access_log import AccessEntry
from gateway.telemetry.decision_settings import DecisionSettings
from gateway.telemetry.decisions import DecisionRing, Wanted

CALLER = Principal(
    subject="alice",
    issuer="https://issuer.example",
    type="user",
    claims={"email": "alice@example.com", "phone": "555", "groups": ["a", "b"], "vip": True, "bio": "x" * 1000},
    scopes=frozenset(),
    issued_at=None,
    expires_at=0,
    usable_until=0,
    token_id=None,
    client_id=None,
    authenticator="main",
    verified_by="",
    session_id="s1",
)


def entry(number: int = 1, **fields: Any) -> AccessEntry:
    usual: dict[str, Any] = {
        "time": number,
        "request_id": f"r{number}",
        "route": "orders",
        "method": "GET",
        "path": "/orders",
        "status": 401,
        "reason": "expired_token",
        "client": "127.0.0.1",
        "subject": "alice",
        "authenticator": "main",
        "token_id": None,
        "upstream": None,
        "target": None,
        "request_bytes": 0,
        "response_bytes": 0,
        "duration_ms": 1.0,
        "added_ms": None,
        "upstream_ms": None,
        "protocol": "http/1.1",
        "user_agent": "curl",
        "error": "exp 1; now 2",
    }
    return AccessEntry(**{**usual, **fields})


def ring(**settings: Any) -> DecisionRing:
    return DecisionRing(DecisionSettings(**settings))


def ids(kept: DecisionRing, most: int = 100, **wanted: Any) -> list[str]:
    return [each["request_id"] for each in found(kept, most, **wanted)]


def found(kept: DecisionRing, most: int = 100, **wanted: Any) -> list[dict[str, Any]]:
    return asyncio.run(kept.found(Wanted(**wanted), most))


def test_the_oldest_goes_first_and_the_latest_is_shown_first() -> None:
    kept = ring(keep=3)
    for number in range(1, 6):
        kept.add(number, entry(number), None)
    assert ids(kept) == ["r5", "r4", "r3"]
    assert ids(kept, most=2) == ["r5", "r4"]


def test_refusals_and_failures_are_always_kept_and_a_sample_of_the_rest() -> None:
    kept = ring(sample=0.1)
    assert all(kept.wants(401, "expired_token", 1) for _ in range(100))
    assert all(kept.wants(502, "allow", 1) for _ in range(100))
    assert sum(kept.wants(200, "allow", 1) for _ in range(100)) == 10
    assert sum(kept.wants(404, "allow_stale", 1) for _ in range(100)) == 10


@pytest.mark.parametrize(("sample", "number"), [(1.0, 50), (0.0, 0), (0.5, 25)])
def test_the_share_of_requests_that_went_well_can_be_set(sample: float, number: int) -> None:
    kept = ring(sample=sample)
    assert sum(kept.wants(200, "allow", 1) for _ in range(50)) == number


def test_what_went_well_does_not_push_out_what_did_not() -> None:
    kept = ring(keep=1000, sample=1)
    assert sum(kept.wants(200, "allow", 5) for _ in range(1000)) == 100
    assert sum(kept.wants(200, "allow", 6) for _ in range(1000)) == 10
    assert sum(kept.wants(200, "allow", 6 + 2.5) for _ in range(1000)) == 25
    assert sum(kept.wants(200, "allow", 1e6) for _ in range(1000)) == 100, "what is not used does not add up"
    assert all(kept.wants(403, "policy", 1e6) for _ in range(1000))


def test_a_ring_that_keeps_nothing_is_off() -> None:
    assert not ring(keep=0).is_on
    assert ring(keep=1).is_on


def test_other_settings_keep_what_there_is_room_for() -> None:
    kept = ring(keep=3)
    for number in range(1, 4):
        kept.add(number, entry(number), None)
    kept.adapt(DecisionSettings(keep=2))
    assert ids(kept) == ["r3", "r2"]
    kept.adapt(DecisionSettings(keep=5))
    kept.add(4, entry(4), None)
    assert ids(kept) == ["r4", "r3", "r2"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"request_id": "r2"}, ["r2"]),
        ({"subject": "bob"}, ["r2"]),
        ({"route": "pets"}, ["r3"]),
        ({"reason": "no_route"}, ["r3"]),
        ({"client": "10.0.0.9"}, ["r1"]),
        ({"is_refusal": False}, ["r4"]),
        ({"is_refusal": True}, ["r3", "r2", "r1"]),
        ({"since": 2.0}, ["r4", "r3"]),
        ({"subject": "alice", "reason": "expired_token"}, ["r1"]),
        ({"subject": "nobody"}, []),
    ],
)
def test_decisions_are_found_by_what_is_known_of_them(wanted: dict[str, Any], found: list[str]) -> None:
    kept = ring()
    kept.add(1, entry(1, client="10.0.0.9"), None)
    kept.add(2, entry(2, subject="bob"), None)
    kept.add(3, entry(3, route="pets", reason="no_route"), None)
    kept.add(4, entry(4, status=200, reason="allow", error=None), None)
    assert ids(kept, **wanted) == found


def test_only_claims_that_are_named_are_kept_and_long_ones_are_cut() -> None:
    kept = ring(claims=["email", "vip", "groups", "bio", "absent"])
    kept.add(1, entry(), CALLER)
    [shown] = found(kept)
    assert shown["session"] == "s1"
    assert shown["claims"].pop("bio") == "x" * 256 + "…"
    assert shown["claims"] == {"email": "alice@example.com", "vip": True, "groups": "['a', 'b']"}
    assert "555" not in repr(kept._kept)


def test_without_a_list_no_claim_is_kept() -> None:
    kept = ring()
    kept.add(1, entry(), replace(CALLER))
    assert found(kept)[0]["claims"] == {}
    assert "example.com" not in repr(kept._kept)


@pytest.mark.parametrize("name", ["path", "user_agent", "subject", "token_id", "error"])
def test_what_clients_and_issuers_choose_is_cut(name: str) -> None:
    kept = ring()
    fields: dict[str, Any] = {name: "x" * 9000}
    kept.add(1, entry(**fields), None)
    [shown] = found(kept)
    assert shown["detail" if name == "error" else name] == "x" * 512 + "…"


def test_a_long_subject_is_found_all_the_same() -> None:
    kept = ring()
    kept.add(1, entry(1, subject="x" * 9000), None)
    assert ids(kept, subject="x" * 9000) == ["r1"]
    assert ids(kept, subject="x" * 100) == []


async def test_others_have_their_turn_while_thousands_are_looked_at() -> None:
    kept = ring(keep=5000)
    for number in range(1, 5001):
        kept.add(number, entry(number), None)
    looking = asyncio.create_task(kept.found(Wanted(request_id="r1"), 1))
    await asyncio.sleep(0)
    assert not looking.done()
    kept.add(5001, entry(5001), None)
    assert [each["request_id"] for each in await looking] == ["r1"]


async def test_what_is_found_early_is_not_looked_for_any_further() -> None:
    kept = ring(keep=5000)
    for number in range(1, 5001):
        kept.add(number, entry(number), None)
    for wanted, most in ((Wanted(), 2), (Wanted(since=4998), 100)):
        looking = asyncio.create_task(kept.found(wanted, most))
        await asyncio.sleep(0)
        assert [each["request_id"] for each in looking.result()] == ["r5000", "r4999"]


def test_a_decision_is_shown_as_the_access_log_has_it() -> None:
    kept = ring()
    kept.add(1.5, entry(), None)
    [shown] = found(kept)
    logged = entry()._asdict()
    assert shown.pop("detail") == logged.pop("error")
    assert (shown.pop("outcome"), shown.pop("ended"), shown.pop("session"), shown.pop("claims")) == (
        "refuse",
        1.5,
        None,
        {},
    )
    assert shown == logged
