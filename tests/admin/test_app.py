"""The admin API of a running gateway: what is ended there is over everywhere, and every change is told."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.sessions import Opening, SessionService
from tests.minting import NOW, access_claims
from tests.session_gateway import ADMIN_TOKEN, STAFF, SessionGateway, session_gateway
from tests.trips.running import KEY
from tests.trips.wire import eventually


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with session_gateway(tmp_path) as gateway:
        yield gateway


def service_of(served: SessionGateway) -> SessionService:
    service = served.gateway.snapshot.sessions
    assert service is not None
    return service


def staff(**claims: Any) -> str:
    return KEY.sign(access_claims(**{"iss": STAFF, "sub": "carol", "scope": "gateway:admin", **claims}))


async def sessions_of(served: SessionGateway, subject: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await served.admin("GET", f"/subjects/{subject}/sessions")).json["sessions"]
    return listed


# --- sessions


async def test_sessions_are_listed_without_a_secret(served: SessionGateway) -> None:
    tokens = await served.log_in(device="Alice's phone")
    await served.log_in("bob")
    answer = await served.admin("GET", "/subjects/alice/sessions")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json == {
        "sessions": [
            {
                "id": await served.sid_of(tokens),
                "subject": "alice",
                "client_id": "web",
                "device": "Alice's phone",
                "address": "127.0.0.0/24",
                "scope": "",
                "created_at": NOW,
                "last_used_at": NOW,
                "expires_at": NOW + 7 * 86400,
                "generation": 1,
            }
        ]
    }
    assert (await served.admin("GET", "/subjects/nobody/sessions")).json == {"sessions": []}


async def test_all_sessions_of_a_subject_end_and_nobody_elses(served: SessionGateway) -> None:
    """C120"""
    phone, laptop, other = await served.log_in(), await served.log_in(), await served.log_in("bob")
    answer = await served.admin("DELETE", "/subjects/alice/sessions")
    assert (answer.status, answer.json) == (200, {"ended": 2})
    for tokens in (phone, laptop):
        assert await served.call(tokens["access_token"]) == 401
        assert (await served.exchange(tokens["refresh_token"])).json["error"] == "invalid_grant"
    assert await served.call(other["access_token"]) == 200
    [change] = served.events("admin_change")
    assert change["actor"] == "admin token"
    assert (change["action"], change["subject"], change["device"]) == ("end_sessions", "alice", None)
    assert (change["ended"], change["confirmed"]) == (2, True)


async def test_the_sessions_of_one_device_end(served: SessionGateway) -> None:
    phone, laptop = await served.log_in(device="phone"), await served.log_in(device="laptop")
    assert len((await served.admin("GET", "/subjects/alice/sessions?device=phone")).json["sessions"]) == 1
    assert (await served.admin("DELETE", "/subjects/alice/sessions?device=phone")).json == {"ended": 1}
    assert await served.call(phone["access_token"]) == 401
    assert await served.call(laptop["access_token"]) == 200
    assert (await served.admin("DELETE", "/subjects/alice/sessions?device=")).json == {"ended": 0}


@pytest.mark.parametrize("query", ["devcie=phone", "device=a&device=b", "device=a&all"])
async def test_a_misspelt_parameter_does_not_end_more_than_was_meant(served: SessionGateway, query: str) -> None:
    tokens = await served.log_in()
    answer = await served.admin("DELETE", f"/subjects/alice/sessions?{query}")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert await served.call(tokens["access_token"]) == 200


async def test_one_session_ends_once(served: SessionGateway) -> None:
    tokens, other = await served.log_in(), await served.log_in()
    sid = await served.sid_of(tokens)
    assert (await served.admin("DELETE", f"/sessions/{sid}")).status == 204
    assert await served.call(tokens["access_token"]) == 401
    assert await served.call(other["access_token"]) == 200
    again = await served.admin("DELETE", f"/sessions/{sid}")
    assert (again.status, again.json["error"]) == (404, "not_found")
    changes = served.events("admin_change")
    assert [(each["session"], each["ended"]) for each in changes] == [(sid, True), (sid, False)]


@pytest.mark.parametrize(
    "sid", ["x", "0" * 21, "A" * 22 + "=", "A" * 23, "%00" * 22, "%C3%A4" * 22, "%FF" * 22, "..%2F..", "A" * 4000]
)
async def test_what_is_no_id_of_a_session_is_not_found(served: SessionGateway, sid: str) -> None:
    assert (await served.admin("DELETE", f"/sessions/{sid}")).status == 404


async def test_a_changed_password_ends_all_sessions(served: SessionGateway) -> None:
    """C175"""
    tokens = await served.log_in()
    assert (await served.admin("POST", "/subjects/alice/credential-change")).json == {"ended": 1}
    assert await served.call(tokens["access_token"]) == 401
    assert (await served.exchange(tokens["refresh_token"])).status == 400
    assert [each["reason"] for each in served.events("session_ended")] == ["credential_change"]
    assert [each["action"] for each in served.events("admin_change")] == ["credential_change"]


@pytest.mark.parametrize(
    ("subject", "written"),
    [
        ("a/b", "a%2Fb"),
        ("a/b", "a%2fb"),
        ("a%2Fb", "a%252Fb"),
        ("müller 🦆", "m%C3%BCller%20%F0%9F%A6%86"),
        ("{sub}?#;=", "%7Bsub%7D%3F%23%3B%3D"),
        ("a+b", "a+b"),
        ("x" * 2048, "x" * 2048),
        ("🦆" * 255, "%F0%9F%A6%86" * 255),
        ("..", "%2E%2E"),
        ("line\nbreak", "line%0Abreak"),
    ],
)
async def test_any_subject_can_be_named_by_percent_encoding(served: SessionGateway, subject: str, written: str) -> None:
    issued = await service_of(served).open(Opening(subject, "web"))
    assert [each["subject"] for each in await sessions_of(served, written)] == [subject]
    assert (await served.admin("DELETE", f"/subjects/{written}/sessions")).json == {"ended": 1}
    assert await served.call(issued.access_token) == 401


# --- cutting off


@pytest.mark.parametrize(
    ("body", "dies"),
    [
        ({"level": "everything", "confirm": "https://gw.example"}, {"own", "staff"}),
        ({"level": "issuer"}, {"own"}),
        ({"level": "issuer", "issuer": STAFF}, {"staff"}),
        ({"level": "client", "name": "web"}, {"own"}),
        ({"level": "client", "name": "web", "issuer": STAFF}, {"staff"}),
        ({"level": "client", "name": "other"}, set()),
        ({"level": "subject", "name": "alice"}, {"own"}),
        ({"level": "subject", "name": "alice", "issuer": STAFF}, set()),
        ({"level": "subject", "name": "carol", "issuer": STAFF}, {"staff"}),
        ({"level": "token", "name": "of carol", "issuer": STAFF}, {"staff"}),
        ({"level": "session", "name": "s1", "issuer": STAFF}, {"staff"}),
    ],
)
async def test_what_was_issued_until_now_is_void(served: SessionGateway, body: dict[str, str], dies: set[str]) -> None:
    own, foreign = (await served.log_in())["access_token"], staff(jti="of carol", sid="s1")
    assert (await served.call(own), await served.call(foreign)) == (200, 200)
    assert (await served.admin("POST", "/revocations", json=body)).status == 204
    statuses = {"own": await served.call(own), "staff": await served.call(foreign)}
    assert {name for name, status in statuses.items() if status == 401} == dies
    [change] = served.events("admin_change")
    assert change["action"] == "cut_off"
    assert (change["what"], change["name"]) == (body["level"], body.get("name", ""))


async def test_a_session_of_our_own_that_is_revoked_has_ended(served: SessionGateway) -> None:
    tokens = await served.log_in()
    body = {"level": "session", "name": await served.sid_of(tokens)}
    assert (await served.admin("POST", "/revocations", json=body)).status == 204
    assert await sessions_of(served, "alice") == []
    assert (await served.exchange(tokens["refresh_token"])).status == 400


async def test_a_revoked_token_stays_so_if_its_clock_is_ahead(served: SessionGateway) -> None:
    ahead = staff(jti="early", iat=NOW + 4)
    assert await served.call(ahead) == 200
    await served.admin("POST", "/revocations", json={"level": "token", "name": "early", "issuer": STAFF})
    assert await served.call(ahead) == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"level": "everything", "level": "client"}',
        b'{"level": "everything", "nmae": "x"}',
        b'{"level": "everything", "name": "x"}',
        b'{"level": "everything"}',
        b'{"level": "everything", "confirm": "yes"}',
        b'{"level": "client", "name": "web", "confirm": "https://gw.example"}',
        b'{"level": "everything", "issuer": "https://gw.example"}',
        b'{"level": "issuer", "name": "x"}',
        b'{"level": "issuer", "issuer": "https://typo.example"}',
        b'{"level": "client"}',
        b'{"level": "client", "name": ""}',
        b'{"level": "subject", "name": 1}',
        b'{"level": "generation", "name": "x"}',
        b'{"level": "galaxy"}',
        b'{"name": "x"}',
        b"{}",
    ],
)
async def test_a_body_that_is_not_exactly_right_changes_nothing(served: SessionGateway, body: bytes) -> None:
    answer = await served.admin("POST", "/revocations", data=body)
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert served.events("admin_change") == []


async def test_a_large_body_is_refused(served: SessionGateway) -> None:
    answer = await served.admin("POST", "/revocations", data=b"{" + b" " * 70_000 + b"}")
    assert (answer.status, answer.json["error"]) == (413, "content_too_large")


# --- who may


async def test_nobody_learns_anything_without_a_token(served: SessionGateway) -> None:
    for method, path in [("GET", "/subjects/alice/sessions"), ("GET", "/nothing"), ("PUT", "/revocations")]:
        answer = await served.admin(method, path, None)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="gateway admin"'
        assert (answer.headers["Cache-Control"], answer.headers["Server"]) == ("no-store", "gateway")
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "token", ["x", ADMIN_TOKEN + "x", ADMIN_TOKEN[:-1], ADMIN_TOKEN.upper(), "a.b.c", "eyJhbGciOiJub25lIn0.e30."]
)
async def test_a_wrong_token_is_refused(served: SessionGateway, token: str) -> None:
    answer = await served.admin("GET", "/subjects/alice/sessions", token)
    assert (answer.status, answer.json["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert token not in answer.body.decode()


async def test_an_administrator_is_whom_an_authenticator_proves(served: SessionGateway) -> None:
    assert (await served.admin("DELETE", "/subjects/alice/sessions", staff())).status == 200
    [change] = served.events("admin_change")
    assert change["actor"] == "staff:carol"


@pytest.mark.parametrize(
    ("claims", "status", "error"),
    [
        ({"scope": "orders:read"}, 403, "insufficient_scope"),
        ({"exp": NOW - 100}, 401, "invalid_token"),
        ({"iss": "https://other.example"}, 401, "invalid_token"),
        ({"aud": "https://other.example"}, 401, "invalid_token"),
    ],
)
async def test_a_token_is_not_enough_by_itself(
    served: SessionGateway, claims: dict[str, Any], status: int, error: str
) -> None:
    answer = await served.admin("DELETE", "/subjects/alice/sessions", staff(**claims))
    assert (answer.status, answer.json["error"]) == (status, error)


async def test_a_user_of_the_gateway_is_no_administrator(served: SessionGateway) -> None:
    tokens = await served.log_in()
    assert (await served.admin("GET", "/subjects/bob/sessions", tokens["access_token"])).status == 403


async def test_an_administrator_can_be_revoked(served: SessionGateway) -> None:
    body = {"level": "subject", "name": "carol", "issuer": STAFF}
    assert (await served.admin("POST", "/revocations", staff(), json=body)).status == 204
    assert (await served.admin("GET", "/subjects/alice/sessions", staff())).status == 401
    assert (await served.admin("GET", "/subjects/alice/sessions")).status == 200


async def test_without_an_admin_token_there_is_none_to_guess(tmp_path: Path) -> None:
    admin = {"authenticators": ["staff"], "require": [{"scopes": ["gateway:admin"]}]}
    async with session_gateway(tmp_path, admin=admin) as served:
        assert (await served.admin("GET", "/subjects/alice/sessions", "")).status in (400, 401)
        assert (await served.admin("GET", "/subjects/alice/sessions", staff())).status == 200


# --- everything else


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/subjects//sessions", 404),
        ("GET", "/subjects/a/b/sessions", 404),
        ("PUT", "/revocations", 405),
        ("POST", "/subjects/alice/sessions", 405),
    ],
)
async def test_what_is_not_there_is_answered_in_json(
    served: SessionGateway, method: str, path: str, status: int
) -> None:
    answer = await served.admin(method, path)
    assert answer.status == status
    assert answer.json["error"] == {404: "not_found", 405: "method_not_allowed"}[status]
    assert ("Allow" in answer.headers) == (status == 405)


async def test_while_the_store_is_away_it_holds_here_and_the_answer_says_that_it_is_not_confirmed(
    served: SessionGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = await served.log_in()
    state = served.gateway._upkeep.state
    assert state is not None
    await state.store.close()
    listing = await served.admin("GET", "/subjects/alice/sessions")
    assert (listing.status, listing.headers["Retry-After"]) == (503, "5")
    ending = await served.admin("DELETE", "/subjects/alice/sessions")
    assert (ending.status, ending.json["error"]) == (503, "temporarily_unavailable")
    assert await served.call(tokens["access_token"]) == 401
    [change] = served.events("admin_change")
    assert (change["subject"], change["confirmed"], change["ended"]) == ("alice", False, None)
    await state.store.open()
    await eventually(lambda: state.view.staleness() < 1 and not state.view.has_unconfirmed())
    assert await sessions_of(served, "alice") == []


async def test_an_administrator_with_a_token_is_not_believed_while_news_of_revocations_are_old(
    tmp_path: Path,
) -> None:
    async with session_gateway(tmp_path, revocation={"max_staleness": "1ms"}) as served:
        state = served.gateway._upkeep.state
        assert state is not None
        await state.store.close()
        await asyncio.sleep(0.01)
        answer = await served.admin("GET", "/subjects/alice/sessions", staff())
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        await state.store.open()
        assert (await served.admin("GET", "/subjects/alice/sessions")).status == 200


async def test_a_bug_is_a_refusal_without_a_word_of_the_request(
    served: SessionGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, subject: str, device: str | None = None) -> list[Any]:
        raise RuntimeError(f"about {subject}")

    monkeypatch.setattr(SessionService, "sessions_of", broken)
    answer = await served.admin("GET", "/subjects/alice/sessions")
    assert (answer.status, answer.json["error"]) == (500, "server_error")
    assert b"alice" not in answer.body
    assert [each["place"] for each in served.events("bug")] == ["admin"]


async def test_a_body_that_cannot_be_decoded_is_a_bad_request(served: SessionGateway) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Encoding": "gzip", "Content-Type": "application/json"}
    url = f"{served.admin_url}/admin/api/v1/revocations"
    async with asyncio.timeout(5):
        answer = await served.ask("POST", url, headers=headers, data=b"this is no gzip")
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


async def test_no_secret_is_in_the_log(served: SessionGateway) -> None:
    tokens = await served.log_in()
    await served.admin("DELETE", "/subjects/alice/sessions", staff())
    await served.admin("DELETE", "/subjects/alice/sessions")
    printed = served.log.getvalue()
    for secret in (ADMIN_TOKEN, staff(), tokens["access_token"], tokens["refresh_token"]):
        assert secret not in printed


async def test_a_body_that_is_broken_on_the_way_is_not_waited_for(
    served: SessionGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.admin.reading._BODY_SECONDS", 0.2)
    host, _, port = served.admin_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /admin/api/v1/revocations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    head += "Content-Type: application/json\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n".encode() + b'{"a":\r\nzz\r\n')
    assert b" 4" in await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    await writer.wait_closed()
