"""Laws of explanations, for requests of all kinds: each says what the gateway does, and leaves no trace."""

import asyncio
import json
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.telemetry.decisions import Wanted
from tests.minting import NOW, access_claims, make_key
from tests.session_gateway import SECTIONS, STAFF, SessionGateway, session_gateway
from tests.trips.running import KEY
from tests.trips.wire import PATIENCE

EXAMPLES = 200
MANY = 1_000_000

BOTH = ["own", "staff"]
ANYWHERE: list[Any] = [
    "authorization",
    {"header": "X-Access-Token"},
    {"cookie": "at", "origins": ["https://app.example"]},
    {"subprotocol": "bearer."},
]
GOLD = {"any": [{"claim": "tenant", "equals": "gold"}, {"not": {"principal": "user"}}]}
ROUTES: list[dict[str, Any]] = [
    {"id": "api", "match": {"path": "/api/**"}},
    {"id": "gold", "match": {"path": "/api/gold/{id}", "methods": ["GET", "POST"]}, "require": [GOLD]},
    {"id": "staff", "match": {"path": "/staff/**"}, "authenticators": ["staff"], "require": [{"scopes": ["a"]}]},
    {"id": "far", "match": {"path": "/far/**", "hosts": ["api.example", "*.api.example"]}, "token_from": ANYWHERE},
    {"id": "maybe", "match": {"path": "/maybe/**"}, "access": "optional"},
    {"id": "open", "match": {"path": "/open/**"}, "access": "public", "encoded_slashes": True, "authenticators": None},
]
CHANGES: dict[str, Any] = {
    "admin": {"token_file": "admin-token", "rate_limit": {"requests": MANY}, "decisions": {"sample": 1}},
    "cors": {"origins": ["https://app.example"], "credentials": True},
    "inject": [*SECTIONS["inject"], {"header": "X-Tenant", "claim": "tenant"}],
    "rate_limits": [
        {"by": "client_address", "requests": MANY, "per": "1s"},
        {"by": "subject", "requests": MANY, "per": "1s"},
    ],
    "routes": [{"authenticators": BOTH, **route, "upstream": "app"} for route in ROUTES],
}

CLAIMS: list[dict[str, Any]] = [
    {},
    {"scope": "a b"},
    {"tenant": "gold"},
    {"tenant": ["gold"], "scope": ["a"]},
    {"tenant": "<script>alert(1)</script>"},
    {"sub": "ünï\u2028/%2F..", "scope": "a"},
    {"sub": ""},
    {"sub": "web", "client_id": "web"},
    {"exp": NOW},
    {"exp": NOW - 4},
    {"exp": NOW - 100, "iat": NOW - 200},
    {"exp": NOW + 10**7},
    {"nbf": NOW + 100},
    {"iat": NOW + 100},
    {"iat": None},
    {"aud": "https://other.example"},
    {"aud": ["https://api.example", "https://other.example"]},
    {"iss": "https://nobody.example"},
    {"iss": "https://gw.example"},
    {"cnf": {"jkt": "x"}},
]
TOKENS = [
    *(KEY.sign(access_claims(**{"iss": STAFF, **claims})) for claims in CLAIMS),
    make_key("EdDSA", "stranger").sign(access_claims(iss=STAFF)),
    make_key("EdDSA", "forger").sign(access_claims(iss=STAFF), kid=KEY.kid),
    KEY.sign(access_claims(iss=STAFF), typ="JWT"),
    KEY.sign(access_claims(iss=STAFF), alg="none"),
    KEY.sign(access_claims(iss=STAFF))[:-4],
    "junk",
    "rt1.junk",
    "a.b.c",
    "x" * 9000,
]
OWN = ["<access token>", "<refresh token>", "<revoked access token>"]
"""Tokens of sessions, as they are called here: they are made when the gateway runs."""
PLACES = ["Authorization: Bearer {}", "authorization: bearer {}", "Authorization: Basic {}", "X-Access-Token: {}"]
PLACES += ["Cookie: a=b; at={}", "Cookie: at={}; at=x", "Sec-WebSocket-Protocol: chat, bearer.{}"]
GOOD_PATHS = ["/api/x", "/api/gold/7", "/api/gold/7/8", "/staff/x", "/far/x", "/maybe/x", "/open/x"]
PATHS = ["/", "/none", "/API/x", "/open", "/gold/7", "/open//api/x"]
PATHS += [
    "/api/../open/x",
    "/open/%2e%2e/api/x",
    "//api/x",
    "/api/a%2Fb",
    "/open/a%2Fb",
    "/open/..%2Fapi",
    "/api/x;y=1",
]
PATHS += [
    "/api/%C3%A9",
    "/api/%00",
    "/api/%zz",
    "/api/x%",
    "/api",
    "/api/",
    "/api//x",
    "/api/./x",
    "/open/%2e%2e%2fapi",
]
QUERIES = ["", "?a=b", "?access_token=junk-junk&a=b", "?", "?a?b#"]
OTHERS = ["Origin: https://app.example", "Origin: https://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"]
OTHERS += ["Access-Control-Request-Method: POST", "X-User-Id: mallory", "X-Forwarded-For: 203.0.113.9", "Via: 1.1 x"]
OTHERS += ["Connection: Upgrade\r\nUpgrade: websocket", "Connection: X-User-Id", "Connection: authorization"]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"]
HOSTS = ["api.example", "API.example:80", "eu.api.example", "x", "[::1]:8080", "a..b", "api.example.", "a b"]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def _hold(data: st.DataObject, runner: asyncio.Runner, played: "Played") -> None:
    def usually(usual: list[str], others: list[str]) -> str:
        return data.draw(st.sampled_from(usual if data.draw(st.integers(0, 3)) else others))

    path = usually(GOOD_PATHS, PATHS) + data.draw(st.sampled_from(QUERIES))
    lines = [usually(PLACES[:1], PLACES).format(usually([*TOKENS[:8], *OWN], TOKENS))]
    if not data.draw(st.integers(0, 3)):
        more = st.sampled_from([*OTHERS, *(place.format(TOKENS[0]) for place in PLACES)])
        lines = data.draw(st.lists(more, max_size=3))
    runner.run(played.compare(usually(METHODS[:3], METHODS), path, usually(HOSTS[:3], HOSTS), lines))


def test_an_explanation_says_what_the_gateway_does_and_leaves_no_trace(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            served = runner.run(stack.enter_async_context(session_gateway(tmp_path, **CHANGES)))
            played = Played(served, runner.run(own_tokens(served)))
            _hold(runner=runner, played=played)
        finally:
            runner.run(stack.aclose())


async def own_tokens(served: SessionGateway) -> dict[str, str]:
    """Return tokens by the names that they have in OWN."""
    revoked, good = await served.log_in("bob"), await served.log_in("alice")
    await served.admin("DELETE", "/subjects/bob/sessions")
    return dict(zip(OWN, (good["access_token"], good["refresh_token"], revoked["access_token"]), strict=True))


class Played:
    """A gateway of which the same is asked twice: what it would do, and to do it."""

    def __init__(self, served: SessionGateway, tokens: dict[str, str]) -> None:
        self._served = served
        self._tokens = tokens
        self._numbers = count()

    async def compare(self, method: str, path: str, host: str, lines: list[str]) -> None:
        for name, token in self._tokens.items():
            lines = [line.replace(name, token) for line in lines]
        lines = ["\r\n".join([f"Host: {host}", *lines])]
        headers = [line.split(": ", 1) for line in lines[0].split("\r\n")]
        before = await self._traces()
        question = {"method": method, "url": f"http://{host}{path}".partition("#")[0], "headers": headers}
        answer = await self._served.admin("POST", "/explain", json=question)
        assert answer.status == 200, answer.body
        explained = answer.json
        assert await self._traces() == before
        assert explained["disagreements"] == []
        self._assert_nothing_secret(answer.body.decode())
        done = await self._do(f"{method} {path.partition('#')[0]} HTTP/1.1\r\n{lines[0]}\r\n")
        expected = {"allow": done["reason"], "answer": "preflight", "deny": explained["reason"]}[explained["verdict"]]
        assert (expected, explained["route"]) == (done["reason"], done["route"]), (explained, done)
        assert (done["outcome"] == "refuse") == (explained["verdict"] == "deny")
        if explained["verdict"] == "deny":
            assert (explained["status"], explained["detail"]) == (done["status"], done["detail"])

    async def _do(self, head: str) -> dict[str, Any]:
        """Send a request, and return what is kept of it."""
        marker = f"number {next(self._numbers)}"
        _, writer = await asyncio.open_connection("127.0.0.1", self._served.running.port)
        try:
            writer.write(f"{head}User-Agent: {marker}\r\n\r\n".encode("latin-1"))
            ring = self._served.gateway.administration.ring
            async with asyncio.timeout(PATIENCE):
                while not (found := await ring.found(Wanted(), 1)) or found[0]["user_agent"] != marker:
                    await asyncio.sleep(0.001)
        finally:
            writer.close()
            await writer.wait_closed()
        return found[0]

    async def _traces(self) -> str:
        """Return whatever an explanation might change."""
        gateway = self._served.gateway
        snapshot = gateway.snapshot
        keys = {
            name: (len(each.cache), each.cache.hits, each.cache.misses)
            for name, each in snapshot.authenticators.items()
        }
        kept = len(await gateway.administration.ring.found(Wanted(), MANY))
        routes = {route.id: dict(route.tally.decisions()) for route in snapshot.routes.routes}
        sessions = (await self._served.admin("GET", "/subjects/alice/sessions")).json
        return json.dumps([keys, kept, routes, sessions])

    def _assert_nothing_secret(self, text: str) -> None:
        for token in (*TOKENS, *self._tokens.values()):
            assert len(token) < 30 or token not in text


async def test_an_explanation_does_not_count_as_the_first_use_of_a_token(tmp_path: Path) -> None:
    """Whoever has lost the answer to an exchange may repeat it while the new pair was never seen in use."""
    async with session_gateway(tmp_path) as served:
        first = {user: await served.log_in(user) for user in ("alice", "bob")}
        second = {user: (await served.exchange(tokens["refresh_token"])).json for user, tokens in first.items()}
        question = {"url": "http://x/api/x", "token": second["alice"]["access_token"]}
        assert (await served.admin("POST", "/explain", json=question)).json["verdict"] == "allow"
        await served.call(second["bob"]["access_token"])
        served.running.clock.now += 60
        async with asyncio.timeout(PATIENCE):
            while (await served.exchange(first["bob"]["refresh_token"])).status == 200:
                await asyncio.sleep(0.01)  # until his first use is noted, and hers would be
        again = await served.exchange(first["alice"]["refresh_token"])
        assert again.json["refresh_token"] == second["alice"]["refresh_token"]
