"""Revocation, introspection and metadata through a whole gateway: each statement with its exact result."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.config.load import load_text
from gateway.config.mistakes import ConfigMistakes
from gateway.model.revocation import Level, Revocation, mark
from gateway.state.revocations import RevocationView
from tests.minting import ISSUER, NOW, access_claims, make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk
from tests.state.redis_servers import server_of
from tests.trips.conformance import (
    CONFORMANCE,
    REVOKED,
    SCOPE,
    SECRET,
    Pair,
    basic,
    conforming,
    is_dead,
    is_error,
    is_refused,
    metrics_text,
    opened,
)
from tests.trips.running import get, request
from tests.trips.session_running import (
    ADMIN_TOKEN,
    PASSWORD,
    PassingClock,
    SessionGateway,
    header_of,
    json_of,
    payload_of,
)
from tests.trips.wire import Message

RESOURCE = {"identifier": "https://api.example", "scopes_supported": ["orders:read"]}
PUBLISHED = "/.well-known/"


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with conforming(tmp_path) as gate:
        yield gate


async def revoke(gate: SessionGateway, token: str | None, *headers: str, **fields: str) -> Message:
    """Ask for a revocation; without a word about the client, as `web`."""
    form = fields if headers or "client_id" in fields else {"client_id": "web", **fields}
    form |= {} if token is None else {"token": token}
    return await gate.post("/oauth/revoke", form, *headers, form=True)


def is_done(answer: Message) -> None:
    assert (answer.status, answer.body, answer.one("Cache-Control")) == (200, b"", "no-store")


async def introspect(gate: SessionGateway, token: str, client_id: str = "api") -> dict[str, Any]:
    answer = await gate.post("/oauth/introspect", {"token": token}, basic(client_id), form=True)
    assert (answer.status, answer.one("Cache-Control")) == (200, "no-store")
    assert (answer.one("Content-Type") or "").startswith("application/json")
    return json_of(answer)


# --- revocation


async def test_revoking_a_refresh_token(gate: SessionGateway) -> None:
    """C125: it and the access tokens of the grant are dead; other sessions are not."""
    pair, other = await gate.log_in(), await gate.log_in()
    second = json_of(await gate.exchange(pair["refresh_token"]))
    for each in (pair, second):
        assert (await gate.api(each["access_token"])).status == 200
    is_done(await revoke(gate, second["refresh_token"]))
    for each in (pair, second):
        is_refused(await gate.api(each["access_token"]), REVOKED)
        is_dead(await gate.exchange(each["refresh_token"]))
    assert (await gate.api(other["access_token"])).status == 200


async def test_revoking_an_access_token(gate: SessionGateway) -> None:
    """C126: the refresh token is unaffected."""
    pair = await gate.log_in()
    assert (await gate.api(pair["access_token"])).status == 200
    is_done(await revoke(gate, pair["access_token"]))
    is_refused(await gate.api(pair["access_token"]), REVOKED)
    gate.later(1)
    second = json_of(await gate.exchange(pair["refresh_token"]))
    assert (await gate.api(second["access_token"])).status == 200


async def test_revoking_garbage(gate: SessionGateway) -> None:
    """C127"""
    for token in ("garbage", "a.b.c", "rt1.x", "é", "x" * 5000):
        is_done(await revoke(gate, token))


@pytest.mark.parametrize("kind", ["refresh_token", "access_token"])
@pytest.mark.parametrize("hint", ["refresh_token", "access_token", "foo", ""])
async def test_a_hint(gate: SessionGateway, kind: str, hint: str) -> None:
    """C128, C129: wrong or unknown, it changes nothing."""
    pair = await gate.log_in()
    is_done(await revoke(gate, pair[kind], token_type_hint=hint))
    is_refused(await gate.api(pair["access_token"]), REVOKED)
    assert (await gate.exchange(pair["refresh_token"])).status == (400 if kind == "refresh_token" else 200)


async def test_revoking_nothing(gate: SessionGateway) -> None:
    """C130: also where it stands in the query."""
    for token in (None, ""):
        is_error(await revoke(gate, token), 400, "invalid_request")
    pair = await gate.log_in()
    answer = await gate.post(f"/oauth/revoke?token={pair['refresh_token']}", {"client_id": "web"}, form=True)
    is_error(answer, 400, "invalid_request")
    assert (await gate.api(pair["access_token"])).status == 200


async def test_revoking_the_token_of_another_client(gate: SessionGateway) -> None:
    """C131: it is still valid."""
    pair = await gate.log_in()
    for token in (pair["refresh_token"], pair["access_token"]):
        is_error(await revoke(gate, token, basic("svc")), 400, "invalid_grant")
        is_error(await revoke(gate, token, client_id="phone"), 400, "invalid_grant")
    assert (await gate.api(pair["access_token"])).status == 200
    assert (await gate.exchange(pair["refresh_token"])).status == 200


async def test_revoking_without_authentication(gate: SessionGateway) -> None:
    """C132: of a confidential client."""
    pair = await opened(gate, "svc")
    for token in (pair["refresh_token"], pair["access_token"]):
        for answer in (
            await revoke(gate, token, client_id="svc"),
            await revoke(gate, token, basic("svc", "wrong")),
            await gate.post("/oauth/revoke", {"token": token}, form=True),
        ):
            is_error(answer, 401, "invalid_client")
            assert answer.one("WWW-Authenticate") == 'Basic realm="gw", charset="UTF-8"'
    assert (await gate.api(pair["access_token"])).status == 200
    is_done(await revoke(gate, pair["refresh_token"], basic("svc")))
    is_refused(await gate.api(pair["access_token"]), REVOKED)


async def test_revoking_the_token_of_another_issuer(gate: SessionGateway) -> None:
    """C133"""
    theirs = access_claims(iss="https://other.example", jti=None)
    is_error(await revoke(gate, make_key("EdDSA", "theirs").sign(theirs)), 400, "unsupported_token_type")


async def test_revoking_while_redis_is_down(tmp_path: Path) -> None:
    """C134: the client must take it that the token is still good; this gateway denies it already."""
    with server_of(tmp_path / "redis") as server:
        url = f"redis://127.0.0.1:{server.port}"
        async with conforming(tmp_path, STATE_URL=url, clock=PassingClock()) as gate:
            pair, other = await gate.log_in(), await gate.log_in()
            assert (await gate.api(pair["access_token"])).status == 200
            await asyncio.to_thread(server.kill)
            for token in (pair["access_token"], pair["refresh_token"]):
                answer = await revoke(gate, token)
                is_error(answer, 503, "temporarily_unavailable")
                assert int(answer.one("Retry-After") or 0) > 0
            is_refused(await gate.api(pair["access_token"]), REVOKED)
            assert (await gate.api(other["access_token"])).status == 200


async def test_revoking_an_expired_token(gate: SessionGateway) -> None:
    """C135: nothing is stored."""
    pair = await gate.log_in()
    gate.later(700)
    is_done(await revoke(gate, pair["access_token"]))
    assert len(gate.view) == 0
    gate.later(30 * 86400)
    is_done(await revoke(gate, pair["refresh_token"]))
    assert len(gate.view) == 0
    gate.later(-30 * 86400)
    assert (await gate.exchange(pair["refresh_token"])).status == 200


# --- introspection


async def test_whoever_does_not_say_who_it_is(gate: SessionGateway) -> None:
    """C136: learns nothing of the token."""
    pair = await gate.log_in()
    for header in ([], [basic("api", "wrong")], [basic("nobody")], [f"Authorization: Bearer {pair['access_token']}"]):
        bodies = []
        for token in (pair["access_token"], pair["refresh_token"], "garbage"):
            answer = await gate.post("/oauth/introspect", {"token": token}, *header, form=True)
            is_error(answer, 401, "invalid_client")
            assert answer.one("WWW-Authenticate") == 'Basic realm="gw", charset="UTF-8"'
            bodies.append({**json_of(answer), "request_id": ""})
        assert bodies[0] == bodies[1] == bodies[2]


async def test_a_valid_access_token(gate: SessionGateway) -> None:
    """C137"""
    pair = await gate.log_in()
    claims = payload_of(pair["access_token"])
    answer = await introspect(gate, pair["access_token"])
    assert answer == {
        "active": True,
        "scope": SCOPE,
        "client_id": "web",
        "sub": "alice",
        "exp": NOW + 600,
        "iat": NOW,
        "aud": "https://api.example",
        "iss": ISSUER,
        "jti": claims["jti"],
        "auth_time": NOW,
        "token_type": "Bearer",
    }


async def test_a_token_that_is_worth_nothing(gate: SessionGateway) -> None:
    """C138: and nothing else is said."""
    nothing = {"active": False}
    pair, over, void = await gate.log_in(), await gate.log_in(), await gate.log_in()
    await gate.log_out(over["refresh_token"])
    await revoke(gate, void["access_token"])
    foreign = make_key("EdDSA", "theirs").sign(access_claims())
    for token in (over["access_token"], void["access_token"], pair["access_token"][:-4] + "AAAA", foreign, "garbage"):
        assert await introspect(gate, token) == nothing
    assert await introspect(gate, pair["access_token"], "stranger") == nothing
    assert (await introspect(gate, pair["access_token"]))["active"] is True
    gate.later(600)
    assert await introspect(gate, pair["access_token"]) == nothing


async def test_a_refresh_token(gate: SessionGateway) -> None:
    """C139: its own client learns of it, and it is not exchanged by that; resource servers learn nothing."""
    pair = await opened(gate, "svc")
    for _ in range(2):
        answer = await introspect(gate, pair["refresh_token"], "svc")
        assert (answer["active"], answer["client_id"], answer["sub"]) == (True, "svc", "alice")
    assert (await gate.session_of(pair["refresh_token"])).generation == 1
    for other in ("api", "stranger"):
        assert await introspect(gate, pair["refresh_token"], other) == {"active": False}
    assert (await gate.exchange(pair["refresh_token"], basic("svc"))).status == 200
    assert await introspect(gate, pair["refresh_token"], "svc") == {"active": False}


async def test_introspecting_nothing(gate: SessionGateway) -> None:
    """C140; C141: a token in the query of a GET is not looked at."""
    for body in ({"x": "y"}, {"token": ""}):
        is_error(await gate.post("/oauth/introspect", body, basic("api"), form=True), 400, "invalid_request")
    token = (await gate.log_in())["access_token"]
    answer = await gate.ask(get(f"/oauth/introspect?token={token}", basic("api")))
    is_error(answer, 405, "method_not_allowed")
    assert answer.one("Allow") == "POST"


async def test_nobody_may_keep_an_answer(gate: SessionGateway) -> None:
    """C144: not at all, so not beyond `exp` either, which it names."""
    pair = await gate.log_in()
    for passed in (0, 599):
        gate.clock.now = NOW + passed
        answer = await gate.post("/oauth/introspect", {"token": pair["access_token"]}, basic("api"), form=True)
        assert answer.one("Cache-Control") == "no-store"
        assert (json_of(answer)["exp"], answer.one("Expires")) == (payload_of(pair["access_token"])["exp"], None)


# --- metadata


async def document(gate: SessionGateway, path: str) -> dict[str, Any]:
    answer = await gate.ask(get(path, "Origin: https://any.example"))
    assert (answer.status, answer.one("Access-Control-Allow-Origin")) == (200, "*")
    assert (answer.one("Content-Type") or "").split(";")[0] == "application/json"
    assert answer.one("Cache-Control") == "public, max-age=300"
    return json_of(answer)


async def test_the_issuers_metadata(gate: SessionGateway) -> None:
    """C145, C151"""
    found = await document(gate, PUBLISHED + "oauth-authorization-server")
    assert found == {
        "issuer": CONFORMANCE["sessions"]["issuer"],
        "token_endpoint": f"{ISSUER}/oauth/token",
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "revocation_endpoint": f"{ISSUER}/oauth/revoke",
        "introspection_endpoint": f"{ISSUER}/oauth/introspect",
        "grant_types_supported": ["refresh_token"],
        "response_types_supported": ["none"],
        "scopes_supported": ["orders:read", "orders:write"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    assert all(found.values())
    for name in ("token_endpoint", "jwks_uri", "revocation_endpoint", "introspection_endpoint"):
        path = found[name].removeprefix(ISSUER)
        assert (await gate.ask(get(path))).status in (200, 405)


@pytest.mark.parametrize(
    "issuer", ["https://gw.example/?x", "https://gw.example/#x", "http://gw.example", "gw.example"]
)
def test_an_issuer_that_is_none(issuer: str) -> None:
    """C145"""
    config = {**CONFORMANCE, "sessions": {**CONFORMANCE["sessions"], "issuer": issuer}}
    names = {"GATEWAY_LISTEN": "127.0.0.1:1", "GATEWAY_OPS": "127.0.0.1:2", "GATEWAY_ADMIN": "127.0.0.1:3"}
    names |= {"GATEWAY_UPSTREAM": "http://127.0.0.1:9", "STATE_URL": "sqlite:state.db"}
    with pytest.raises(ConfigMistakes, match=r"sessions\.issuer"):
        load_text(json.dumps(config), names)


async def test_an_issuer_with_a_path(tmp_path: Path) -> None:
    """C146"""
    async with conforming(tmp_path, changes={"sessions": {"issuer": "https://gw.example/t1"}}) as gate:
        found = await document(gate, PUBLISHED + "oauth-authorization-server/t1")
        assert found["issuer"] == "https://gw.example/t1"
        for path in ("oauth-authorization-server", "oauth-authorization-server/t2"):
            assert (await gate.ask(get(PUBLISHED + path))).status == 404
        pair = await gate.log_in()
        assert payload_of(pair["access_token"])["iss"] == "https://gw.example/t1"
        assert (await gate.api(pair["access_token"])).status == 200


async def test_the_resources_metadata(tmp_path: Path) -> None:
    """C147, C151; C149: and each 401 says where they are."""
    async with conforming(tmp_path, changes={"sessions": {"resource": RESOURCE}}) as gate:
        assert await document(gate, PUBLISHED + "oauth-protected-resource") == {
            "resource": "https://api.example",
            "authorization_servers": [ISSUER],
            "bearer_methods_supported": ["header"],
            "scopes_supported": ["orders:read"],
        }
        pair = await gate.log_in()
        await gate.log_out(pair["refresh_token"])
        where = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource"'
        assert (await gate.api(None)).one("WWW-Authenticate") == f'Bearer realm="gw", {where}'
        for token in ("garbage", pair["access_token"], pair["refresh_token"]):
            answer = await gate.api(token)
            assert answer.status == 401
            assert (answer.one("WWW-Authenticate") or "").endswith(f'", {where}')
        answer = await gate.refresh(pair["refresh_token"])
        assert answer.status == 401
        assert where in (answer.one("WWW-Authenticate") or "")


@pytest.mark.parametrize("identifier", ["https://api.example/api", "https://api.example/api/"])
async def test_a_resource_with_a_path(tmp_path: Path, identifier: str) -> None:
    """C148, C149"""
    async with conforming(tmp_path, changes={"sessions": {"resource": {"identifier": identifier}}}) as gate:
        found = await document(gate, PUBLISHED + "oauth-protected-resource/api")
        assert found["resource"] == identifier
        assert (await gate.ask(get(PUBLISHED + "oauth-protected-resource"))).status == 404
        where = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource/api"'
        assert where in ((await gate.api("garbage")).one("WWW-Authenticate") or "")


async def test_the_keys(tmp_path: Path) -> None:
    """C150, C151: the public halves of all keys, also of the next one long before its first use; and no secret."""
    keys = [make_key(alg, f"own-{alg}") for alg in ("EdDSA", "ES256", "RS256", "HS256")]
    coming = make_key("EdDSA", "coming")
    times = (NOW, NOW - 1, NOW - 2, NOW - 3, NOW + 1000)
    members = [private_jwk(key, time) for key, time in zip([*keys, coming], times, strict=True)]
    (tmp_path / "keys.json").write_bytes(key_file(*members, refresh_jwk()))
    (tmp_path / "keys.json").chmod(0o600)
    async with conforming(tmp_path) as gate:
        found = {key["kid"]: key for key in (await document(gate, PUBLISHED + "jwks.json"))["keys"]}
        assert set(found) == {"own-EdDSA", "own-ES256", "own-RS256", "coming"}
        public = {"OKP": {"crv", "x"}, "EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}
        for key in (*keys[:3], coming):
            assert found[str(key.kid)] == key.jwk()
            assert set(key.jwk()) == {"kty", "kid", "alg", "use"} | public[key.jwk()["kty"]]
            assert (key.jwk()["alg"], key.jwk()["use"]) == (key.alg, "sig")
        for now, kid in ((NOW, "own-EdDSA"), (NOW + 999, "own-EdDSA"), (NOW + 1000, "coming")):
            gate.clock.now = now
            token = (await gate.log_in())["access_token"]
            assert header_of(token)["kid"] == kid
            assert (await gate.api(token)).status == 200


async def test_no_cors_where_tokens_are_given(gate: SessionGateway) -> None:
    """C151"""
    for path in ("/oauth/token", "/oauth/revoke", "/auth/refresh"):
        answer = await gate.post(path, {"x": "y"}, "Origin: https://any.example", form=True)
        assert answer.one("Access-Control-Allow-Origin") is None


# --- cut-offs


LEVELS = {Level.EVERYTHING: "", Level.ISSUER: "", Level.CLIENT: "web", Level.SUBJECT: "alice"}


async def test_every_combination_of_cut_offs_counts_as_the_latest_of_them(tmp_path: Path) -> None:
    """C183: a token is void if it is older than any of them, whatever else is set, and in whatever order it came."""
    changes = {"authenticators": {"own": {"type": "issued", "cache_entries": 0}}}
    async with conforming(tmp_path, changes=changes) as gate:
        gate.later(1000)
        token = (await gate.log_in())["access_token"]
        born, gatekeeper = NOW + 1000, gate.gateway.plane.snapshot.gatekeeper
        known = gatekeeper.revocations
        for choice in product((None, born - 5, born, born + 1), repeat=len(LEVELS)):
            cut_offs = [(level, before) for level, before in zip(LEVELS, choice, strict=True) if before is not None]
            random.Random(str(choice)).shuffle(cut_offs)
            news = RevocationView(monotonic=lambda: 0.0, clock=gate.clock)
            news.refreshed(born * 1000, 0.0)
            for level, before in cut_offs:
                news.add([Revocation(level, mark(level, ISSUER, LEVELS[level]), before, born + 900, born * 1000)])
            gatekeeper.revocations = news
            answer = await gate.api(token)
            if max((before for _, before in cut_offs), default=0) > born:
                is_refused(answer, REVOKED)
            else:
                assert answer.status == 200, choice
        gatekeeper.revocations = known


async def test_an_older_cut_off_of_everybody_does_not_hide_a_later_one_of_a_client(gate: SessionGateway) -> None:
    """C183: as an administrator sets them."""
    older = await gate.log_in()
    gate.later(50)
    assert (await gate.admin("POST", "/revocations", {"level": "everything", "confirm": ISSUER})).status == 204
    is_refused(await gate.api(older["access_token"]), REVOKED)
    gate.later(50)
    pair, other = await gate.log_in(), await opened(gate, "svc")
    assert (await gate.api(pair["access_token"])).status == 200
    gate.later(50)
    assert (await gate.admin("POST", "/revocations", {"level": "client", "name": "web"})).status == 204
    is_refused(await gate.api(pair["access_token"]), REVOKED)
    assert (await gate.api(other["access_token"])).status == 200


# --- what is told


class Ears:
    """Remembers what clients are told. An answer that carries tokens is `given`: its body is for them."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def given(self, answer: Message) -> Pair:
        self.told.append(str(answer.headers))
        return json_of(answer)

    async def hear(self, *answers: Awaitable[Message]) -> None:
        for each in answers:
            answer = await each
            self.told.append(str(answer.headers) + answer.body.decode("latin-1"))


def misuses(gate: SessionGateway, token: str) -> list[Awaitable[Message]]:
    """Return requests with a token at every place, most of them wrong. None gives tokens."""
    own = ("/oauth/token", "/oauth/revoke", "/oauth/introspect", "/auth/refresh", "/auth/logout")
    query = urlencode({"token": token})
    return [
        gate.api(token),
        gate.api(token, path=f"/api/x?access_token={token}"),
        gate.api(token, f"Cookie: __Host-access={token}", path="/api/y"),
        gate.ask(request("GET", "/api/x", f"Authorization: Basic {token}")),
        gate.exchange(token, scope="admin"),
        gate.exchange(token, basic("svc", "wrong")),
        gate.ask(get(f"/nowhere?{query}")),
        gate.ask(get(f"/oauth/introspect?{query}", basic("api"))),
        *(gate.post(f"{path}?{query}", {}, form=True) for path in own),
        *(gate.post(path, {"token": [token], "refresh_token": {"x": token}}) for path in own),
    ]


async def test_no_output_has_a_token_a_secret_or_a_password(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """C123: whatever clients do, rightly or wrongly. Not the logs, metrics, answers, the upstream, nor the store."""
    guessed = "hunter2-hunter2"
    ears = Ears()
    exchange = {"concurrency_window": 0, "recovery_window": 0}
    async with conforming(tmp_path, changes={"sessions": {"exchange": exchange, "resource": RESOURCE}}) as gate:
        first, his = [ears.given(await gate.try_login(name)) for name in ("alice", "bob")]
        second = ears.given(await gate.exchange(first["refresh_token"]))
        pairs = [first, his, second, await opened(gate, "svc")]
        tokens = [pair[kind] for pair in pairs for kind in ("access_token", "refresh_token")]
        for name, password in (("alice", guessed), (guessed, PASSWORD)):
            await ears.hear(gate.post("/auth/login", {"username": name, "password": password}))
        for token in tokens:
            await ears.hear(*misuses(gate, token), *misuses(gate, token[:-2] + "xx"))
        await ears.hear(*(gate.exchange(first["refresh_token"]) for _ in range(2)))
        await ears.hear(revoke(gate, his["refresh_token"]), gate.log_out(pairs[3]["refresh_token"]))
        await ears.hear(gate.admin("DELETE", "/subjects/bob/sessions"))
        upstream, samples = str(gate.app.requests), await metrics_text(gate)
    logs = "".join(capfd.readouterr())
    for event in ("session_opened", "refresh_token_reuse", "session_ended", "exchange_refused", "admin_change"):
        assert f'"{event}"' in logs
    assert '"/api/x"' in logs
    stored = "".join(file.read_bytes().decode("latin-1") for file in tmp_path.glob("state.db*"))
    signatures = [token.rpartition(".")[2] for token in tokens]
    for place in ("\n".join(ears.told), upstream, samples, logs, stored):
        for secret in (*tokens, *signatures, PASSWORD, SECRET, ADMIN_TOKEN, guessed):
            assert secret not in place
