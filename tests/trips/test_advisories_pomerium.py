"""What Pomerium was broken by, tried here. The list is in docs/security.md."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trips.attacking import as_admin, attacked, hello
from tests.trips.running import get, token
from tests.trips.session_running import ADMIN_TOKEN, OWN_PAGE, SessionGateway, error_of, json_of, preset, serving
from tests.trips.wire import Message, ask

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""

ADMIN: dict[str, Any] = {
    "admin": {"address": "${GATEWAY_ADMIN}", "token_file": "admin.token"},
    "token_from": ["authorization"],
    "sessions": {"answer": {"login": "json", "refresh": "json"}},
}


async def test_cve_2024_47616_a_callers_token_opens_no_door_of_the_administrators(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        pair = await gate.log_in()
        for credential in (pair["access_token"], pair["refresh_token"], ADMIN_TOKEN[:-1], f"{ADMIN_TOKEN}x", ""):
            for line in (f"Authorization: Bearer {credential}", f"Cookie: __Host-access={credential}"):
                data = get("/admin/api/v1/subjects/alice/sessions", line, "Connection: close")
                assert (await ask(gate.admin_port, data)).status in (400, 401)
        assert (await gate.admin("GET", "/subjects/alice/sessions")).status == 200
        assert (await gate.api(ADMIN_TOKEN)).status == 401


async def test_cve_2024_39315_no_page_shows_a_token(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        pair = await gate.log_in()
        session = await gate.session_of(pair["refresh_token"])
        answers = [
            await gate.admin("GET", "/subjects/alice/sessions"),
            await gate.admin("GET", f"/sessions/{session.sid}"),
            await gate.admin("GET", "/sessions/none"),
            await gate.api(pair["access_token"][:-4] + "AAAA"),
            await gate.exchange(pair["refresh_token"][:-4] + "AAAA"),
            await gate.api(pair["refresh_token"]),
        ]
        secrets = [pair["access_token"], pair["refresh_token"], session.salt.hex()]
        for answer in answers:
            told = f"{answer.headers} {answer.body!r}"
            assert not any(secret in told or secret[-40:-6] in told for secret in secrets)


async def test_cve_2023_33189_a_crafted_request_is_not_judged_by_one_half_of_it(tmp_path: Path) -> None:
    async with attacked(tmp_path) as target:
        good, bad = as_admin(), token(scope="none")
        for data in (
            get("/admin/x", f"Authorization: Bearer {good}", bearer=bad),
            get("/admin/x", "Host: internal.example", bearer=good),
            get("http://internal.example/admin/x", bearer=good),
            get("http://api.example@internal.example/admin/x", bearer=good),
            hello("/admin/x", host="api.example internal.example", bearer=good),
            hello("/admin/x", host="", bearer=good),
        ):
            await target.refuses(data, 400)
        assert await target.identity(get("http://api.example/admin/x", bearer=good)) == "alice"


async def test_cve_2022_24797_nothing_of_the_inside_stands_outside(tmp_path: Path) -> None:
    async with serving(tmp_path, preset("seed0"), changes=ADMIN) as gate:
        for path in (
            *(
                "/metrics",
                "/livez",
                "/readyz",
                "/startupz",
                "/healthz",
                "/debug/pprof/",
                "/debug/vars",
                "/stats",
                "/console",
            ),
            *(
                "/admin/api/v1/subjects/alice/sessions",
                "/admin/",
                "/admin",
                "/status",
                "/config",
                "/.env",
                "/openapi.json",
            ),
        ):
            answer = await gate.ask(get(path, bearer=ADMIN_TOKEN))
            assert answer.status == 404, path
        assert gate.app.requests == []


async def test_cve_2021_41230_a_token_is_judged_by_its_own_claims_whatever_others_of_the_user_said(
    tmp_path: Path,
) -> None:
    async with attacked(tmp_path) as target:
        before, after = as_admin(jti="1"), token(jti="2", groups=["guests"], email="ann@new.example")
        assert (await target.passes(get("/group/x", bearer=before))).one("X-Groups") == "devs"
        await target.refuses(get("/group/x", bearer=after), 403)
        seen = await target.passes(get("/api/x", bearer=after))
        assert (seen.one("X-Groups"), seen.one("X-Email")) == ("guests", "ann@new.example")


@pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])
async def test_cve_2021_39162_frames_of_http2_stop_nobody(tmp_path: Path) -> None:
    """HTTP/2 is not spoken; whoever speaks it is refused, and nothing crashes."""
    async with attacked(tmp_path) as target:
        goaway = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        await target.refuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + goaway, 400, 505)
        h2c = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
        await target.refuses(get("/api/x", *h2c) + goaway, 401)
        assert await target.identity(get("/api/x", *h2c, bearer=token())) == "alice"


def told(answer: Message) -> tuple[int, dict[str, Any]]:
    """Return what an answer tells, but for what is different each time."""
    return answer.status, {name: value for name, value in json.loads(answer.body).items() if name != "request_id"}


async def tampering_is_told_apart_from_nothing(gate: SessionGateway, refresh_token: str) -> None:
    answers = []
    for place in range(0, len(refresh_token), 3):
        other = "A" if refresh_token[place] != "A" else "B"
        answers.append(await gate.exchange(refresh_token[:place] + other + refresh_token[place + 1 :]))
    answers += [await gate.exchange(refresh_token[:-1]), await gate.exchange(refresh_token + "A")]
    assert {json.dumps(told(answer)) for answer in answers} == {json.dumps(told(answers[0]))}
    assert error_of(answers[0]) == (400, "invalid_grant")


async def test_cve_2021_29652_what_the_gateway_signed_is_verified_wherever_it_comes_back(tmp_path: Path) -> None:
    changes = {**ADMIN, "sessions": {**ADMIN["sessions"], "junk_per_minute": 1000}}
    async with serving(tmp_path, preset("seed0"), changes=changes) as gate:
        pair = await gate.log_in()
        await tampering_is_told_apart_from_nothing(gate, pair["refresh_token"])
        assert (await gate.exchange(pair["refresh_token"])).status == 200  # and nothing was ended by it


async def test_cve_2021_29651_no_redirect_carries_a_token(tmp_path: Path) -> None:
    changes = {
        "redirects": ["https://app.example/done"],
        "answer": {"login": "cookies", "refresh": "cookies"},
        "cookies": {"refresh_cookie": True},
    }
    async with serving(tmp_path, preset("seed0"), changes={"sessions": changes}) as gate:
        answer = await gate.try_login("alice", OWN_PAGE, redirect="https://app.example/done")
        assert (answer.status, answer.one("Location")) == (303, "https://app.example/done")
        assert b"eyJ" not in answer.body
        foreign = await gate.try_login("alice", "Origin: https://evil.example", redirect="https://app.example/done")
        assert (foreign.status, foreign.all("Set-Cookie"), json_of(foreign).get("access_token")) == (403, [], None)
