"""What the admin API tells of a running gateway, and why it decided as it did."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.minting import NOW, access_claims
from tests.session_gateway import SECTIONS, STAFF, SessionGateway, session_gateway
from tests.trips.running import KEY
from tests.trips.wire import eventually


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with session_gateway(tmp_path) as gateway:
        yield gateway


async def told(served: SessionGateway, path: str) -> Any:
    answer = await served.admin("GET", path)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store"), answer.body
    return answer.json


async def test_who_asks_is_told_who_they_are_and_what_this_is(served: SessionGateway) -> None:
    me = await told(served, "/me")
    assert (me["actor"], me["role"]) == ("admin token", "write")
    assert (me["gateway"]["issuer"], me["gateway"]["has_sessions"]) == ("https://gw.example", True)
    assert me["gateway"]["decisions"] == {"keep": 1000, "sample": 0.01, "claims": []}


async def test_what_was_done_is_counted(served: SessionGateway) -> None:
    before = await told(served, "/counters")
    tokens = await served.log_in()
    await served.call(tokens["access_token"])
    await served.call("junk")
    await served.exchange(tokens["refresh_token"])
    after = await told(served, "/counters")
    assert after["requests"]["2xx"] - before["requests"].get("2xx", 0) == 3
    assert after["decisions"]["unknown_issuer"] == 1
    assert (after["logins"], after["sessions_opened"], after["exchanges"]) == ({"ok": 1}, 1, {"rotated": 1})
    assert sum(after["seconds"]["request"]["counts"]) == 4
    assert len(after["seconds"]["request"]["counts"]) == len(after["seconds"]["request"]["bounds"]) + 1
    assert after["memory_bytes"] > 0
    assert (after["answered"], after["workers"], after["reload"]["successful"]) == (1, None, True)
    assert after["revocation_staleness"] is not None


async def test_routes_tell_what_they_require_and_what_happened_on_them(served: SessionGateway) -> None:
    await served.call("junk")
    routes = await told(served, "/routes")
    [route] = [each for each in routes["routes"] if each["path"] == "/api/**"]
    assert (route["access"], route["token_from"], route["own"]) == ("protected", ["Authorization"], False)
    assert route["decisions"] == {"unknown_issuer": 1}
    assert (await told(served, f"/routes?search={route['id']}&limit=1"))["total"] == 1
    assert await told(served, "/routes?search=nothing-like-it") == {"total": 0, "routes": []}
    assert (await told(served, "/routes?offset=1000"))["routes"] == []


async def test_routes_that_refuse_come_with_most_refusals_first(served: SessionGateway) -> None:
    assert await told(served, "/refusing-routes") == {"total": 0, "routes": []}
    await served.call((await served.log_in())["access_token"])
    await served.call("junk")
    refusing = await told(served, "/refusing-routes?limit=1")
    assert refusing["total"] == 1
    assert refusing["routes"][0]["decisions"] == {"allow": 1, "unknown_issuer": 1}
    assert (await told(served, "/refusing-routes?search=nothing-like-it"))["total"] == 0


async def test_the_routes_of_the_gateway_itself_come_last(served: SessionGateway) -> None:
    await served.exchange("rt1.junk")
    routes = (await told(served, "/routes"))["routes"]
    assert [each["own"] for each in routes] == sorted(each["own"] for each in routes)
    [token] = [each for each in routes if each["id"] == "gateway:token"]
    assert (token["own"], token["path"], token["access"]) == (True, "/oauth/token", "public")
    assert token["decisions"] == {"unknown_refresh_token": 1}
    [decision] = await decisions(served, "?route=gateway:token")
    one = await told(served, f"/decisions/{decision['request_id']}")
    assert one["route"]["path"] == "/oauth/token"


async def test_upstreams_tell_how_they_are(served: SessionGateway) -> None:
    await served.call((await served.log_in())["access_token"])
    upstreams = {each["name"]: each for each in (await told(served, "/upstreams"))["upstreams"]}
    assert "gateway:endpoints" not in upstreams
    [target] = upstreams["app"]["targets"]
    assert (target["healthy"], target["busy"], target["idle"]) == (True, 0, 1)
    assert upstreams["app"]["connects"]["ok"] == 1


async def test_keys_tell_their_age_and_nothing_secret(served: SessionGateway) -> None:
    keys = await told(served, "/keys")
    by_name = {each["name"]: each for each in keys["authenticators"]}
    assert by_name["staff"]["issuer"] == STAFF
    assert by_name["staff"]["keys"] == [{"kid": KEY.kid, "alg": "EdDSA"}]
    [own] = [key for key in keys["own"] if key["status"] == "current"]
    assert set(own) == {"kid", "alg", "status", "signs_from", "age"}
    assert '"d"' not in json.dumps(keys)


# --- decisions


async def decisions(served: SessionGateway, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await told(served, f"/decisions{query}"))["decisions"]
    return found


async def test_a_refusal_is_found_by_what_a_user_can_tell_of_it(served: SessionGateway) -> None:
    expired = KEY.sign(access_claims(iss=STAFF, sub="carol", exp=NOW - 100, iat=NOW - 200))
    answer = await served.ask(
        "GET", f"{served.running.url}/api/x?secret=1", headers={"Authorization": f"Bearer {expired}"}
    )
    request_id = json.loads(answer.body)["request_id"]
    [decision] = await decisions(served, f"?request_id={request_id}")
    assert (decision["status"], decision["reason"], decision["outcome"]) == (401, "expired_token", "refuse")
    assert (decision["path"], decision["client"]) == ("/api/x", "127.0.0.1")
    assert f"exp {NOW - 100}" in decision["detail"]
    assert [each["request_id"] for each in await decisions(served, "?reason=expired_token&limit=1")] == [request_id]
    assert await decisions(served, "?reason=no_route") == []
    one = await told(served, f"/decisions/{request_id}")
    assert one["decision"] == decision
    assert one["meaning"] == '`exp` is over, leeway included: "The access token expired"'
    assert one["advice"] == "the client refreshes"
    assert one["route"]["path"] == "/api/**"
    assert expired not in json.dumps(one)
    assert "secret" not in json.dumps(one)


async def test_a_refused_login_and_exchange_tell_why(served: SessionGateway) -> None:
    credentials = {"username": "alice", "password": "wrong"}
    answer = await served.ask("POST", f"{served.running.url}/auth/login", json=credentials)
    assert "X-Gateway-Reason" not in answer.headers
    await served.exchange("rt1.junk")
    assert [each["reason"] for each in await decisions(served)] == ["unknown_refresh_token", "wrong_password"]
    assert [each["route"] for each in await decisions(served)] == ["gateway:token", "gateway:login"]


async def test_what_went_well_is_sampled(tmp_path: Path) -> None:
    admin = {"token_file": "admin-token", "decisions": {"sample": 0.5, "claims": ["client_id"]}}
    async with session_gateway(tmp_path, admin=admin) as served:
        token = (await served.log_in())["access_token"]
        for _ in range(9):
            assert await served.call(token) == 200
        passed = await decisions(served, "?outcome=allow")
        assert len(passed) == 5
        assert {each["subject"] for each in passed} == {"alice"}
        assert {json.dumps(each["claims"]) for each in passed} == {'{"client_id": "web"}'}
        assert all(each["session"] for each in passed)
        assert await decisions(served, "?outcome=refuse") == []


async def test_who_follows_gets_only_what_is_new(served: SessionGateway) -> None:
    await served.call("junk")
    [first] = await decisions(served)
    assert await decisions(served, f"?since={first['ended']!r}") == []
    await served.call("junk")
    [second] = await decisions(served, f"?since={first['ended']!r}")
    assert second["request_id"] != first["request_id"]


async def test_a_decision_that_is_not_kept_is_not_found(served: SessionGateway) -> None:
    assert (await served.admin("GET", "/decisions/unknown")).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/decisions?limit=0",
        "/decisions?limit=1001",
        "/decisions?limit=x",
        "/decisions?limit=%D9%A1",
        "/decisions?outcome=maybe",
        "/decisions?since=nan",
        "/decisions?since=-1",
        "/decisions?reasn=x",
        "/decisions?reason=a&reason=b",
        "/routes?offset=-1",
        "/me?verbose=1",
        "/counters?x",
    ],
)
async def test_a_parameter_that_is_not_exactly_right_is_refused(served: SessionGateway, path: str) -> None:
    assert (await served.admin("GET", path)).status == 400


# --- explain


async def explained(served: SessionGateway, **question: Any) -> Any:
    answer = await served.admin("POST", "/explain", json={"url": "http://x/api/x", **question})
    assert answer.status == 200, answer.body
    return answer.json


async def test_an_explanation_goes_by_the_rules_in_force_and_leaves_no_trace(served: SessionGateway) -> None:
    tokens = await served.log_in()
    before = await told(served, "/keys"), await told(served, "/counters")
    explanation = await explained(served, token=tokens["access_token"])
    assert (explanation["verdict"], explanation["disagreements"]) == ("allow", [])
    assert "alice" in json.dumps(explanation["steps"])
    assert tokens["access_token"] not in json.dumps(explanation)
    after = await told(served, "/keys"), await told(served, "/counters")
    assert after[0]["authenticators"] == before[0]["authenticators"]
    assert after[1]["decisions"] == before[1]["decisions"]
    assert tokens["access_token"] not in served.log.getvalue()


async def test_an_explanation_knows_what_is_revoked(served: SessionGateway) -> None:
    tokens = await served.log_in()
    await served.admin("DELETE", "/subjects/alice/sessions")
    explanation = await explained(served, token=tokens["access_token"])
    assert (explanation["verdict"], explanation["reason"]) == ("deny", "revoked_token")
    [step] = [step for step in explanation["steps"] if step["name"] == "revocation"]
    assert step["result"] == "no"


async def test_a_body_whose_end_nobody_could_find_is_explained_as_refused(served: SessionGateway) -> None:
    token = (await served.log_in())["access_token"]
    for headers in ([["Transfer-Encoding", "chunked"]] * 2, [["Content-Length", "1"], ["Content-Length", "2"]]):
        explanation = await explained(served, method="POST", token=token, headers=headers)
        assert (explanation["verdict"], explanation["route"], explanation["disagreements"]) == ("deny", None, [])
        assert explanation["steps"][-1]["name"] == "body"


async def test_an_explanation_can_be_of_another_time(served: SessionGateway) -> None:
    tokens = await served.log_in()
    explanation = await explained(served, token=tokens["access_token"], at=NOW + 3600)
    assert explanation["reason"] == "expired_token"


async def test_a_refresh_token_is_not_used_up_by_an_explanation(served: SessionGateway) -> None:
    tokens = await served.log_in()
    assert (await explained(served, token=tokens["refresh_token"]))["verdict"] == "deny"
    assert (await served.exchange(tokens["refresh_token"])).status == 200


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"url": "ftp://x"},
        {"url": 1},
        {"url": "http://x", "method": "get"},
        {"url": "http://x", "token": 7},
        {"url": "http://x", "headers": {"a": "b"}},
        {"url": "http://x", "headers": [["a"]]},
        {"url": "http://x", "headers": [["a b", "c"]]},
        {"url": "http://x", "headers": [["a", "c\nd"]]},
        {"url": "http://x", "headers": [["Content-Length", "-1"]]},
        {"url": "http://x", "peer": "somewhere"},
        {"url": "http://x", "at": "now"},
        {"url": "http://x", "at": True},
        {"url": "http://x", "more": 1},
        {"url": "http://x/\ud800"},
    ],
)
async def test_a_question_that_is_not_exactly_right_is_refused(
    served: SessionGateway, question: dict[str, Any]
) -> None:
    assert (await served.admin("POST", "/explain", json=question)).status == 400


@pytest.mark.parametrize("secret", ["disagreements", "missing_credentials", '"result": "ok"', 'a", "b', "\\u0022"])
async def test_a_credential_that_is_spelled_like_a_part_of_the_answer_changes_nothing_there(
    served: SessionGateway, secret: str
) -> None:
    plain = await explained(served, headers=[["Authorization", "Basic x"]])
    shown = await explained(served, headers=[["Authorization", f"Basic {secret}"]])
    assert shown["reason"] == "missing_credentials"
    assert [{**step, "detail": ""} for step in shown["steps"]] == [{**step, "detail": ""} for step in plain["steps"]]
    assert shown.keys() == plain.keys()


async def test_a_credential_is_hidden_whatever_characters_it_has(served: SessionGateway) -> None:
    shown = await explained(served, url='http://x/päss"word', headers=[["Cookie", 'sid=päss"word']])
    assert "<hidden>" in json.dumps(shown)
    assert 'päss"word' not in json.dumps(shown, ensure_ascii=False).replace('\\"', '"')


async def test_a_value_that_upstreams_know_the_gateway_by_is_not_explained(tmp_path: Path) -> None:
    inject = [{"header": "X-From", "value": "shared-with-the-upstream"}, *SECTIONS["inject"]]
    async with session_gateway(tmp_path, inject=inject) as served:
        explanation = await explained(served, token=(await served.log_in())["access_token"])
        assert "X-From: <hidden, 24 bytes>" in explanation["forwarded"]["head"]
        assert "X-User-Id: alice" in explanation["forwarded"]["head"]
        assert "shared-with-the-upstream" not in json.dumps([explanation, await told(served, "/config")])


async def test_of_many_routes_those_that_are_alike_are_found_at_once(tmp_path: Path) -> None:
    routes = [
        {"id": f"r{n}", "match": {"path": f"/services/{n}/orders/history"}, "upstream": "app", "access": "public"}
        for n in range(300)
    ]
    async with session_gateway(tmp_path, routes=routes) as served:
        explanation = await explained(served, url="http://x/services/77/orders/histroy")
        near = [step["detail"] for step in explanation["steps"] if step["name"] == "near"]
        assert '"r77" (/services/77/orders/history) has a similar path' in near


# --- configuration


async def test_the_configuration_in_force_is_shown(served: SessionGateway) -> None:
    shown = await told(served, "/config")
    assert shown["config"]["admin"]["token_file"] == "admin-token"
    assert shown["reload"] == {"successful": True, "at": shown["reload"]["at"], "mistakes": []}


async def test_where_keys_come_from_is_told_without_the_credentials_of_the_place(tmp_path: Path) -> None:
    idp = {"type": "jwt", "issuer": "https://idp.example", "audiences": ["a"]}
    idp["jwks_uri"] = "https://gateway:hunter2@127.0.0.1:9/keys?api_key=hunter3"
    authenticators = {"own": {"type": "issued"}, "idp": idp}
    routes = [{"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "authenticators": ["own", "idp"]}]
    admin = {"token_file": "admin-token"}
    changes: dict[str, Any] = {"authenticators": authenticators, "routes": routes, "inject": [], "admin": admin}
    async with session_gateway(tmp_path, is_ready=False, **changes) as served:
        shown = await told(served, "/keys")
        assert shown["authenticators"][1]["source"] == "https://<hidden>@127.0.0.1:9/keys?<hidden>"
        token = KEY.sign(access_claims(iss="https://idp.example"))
        everything = [shown, await told(served, "/config"), await explained(served, token=token)]
        assert "hunter" not in json.dumps(everything)


async def test_a_reload_is_asked_for_and_told_in_the_audit_log(served: SessionGateway) -> None:
    answer = await served.admin("POST", "/reload", json={})
    assert (answer.status, answer.json) == (202, {"asked": True})
    await eventually(lambda: served.events("admin_change"))
    assert served.events("admin_change")[0]["action"] == "reload"
