"""What oauth2-proxy was broken by, tried here. The list is in docs/security.md."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.trips.attacking import Target, attacked, lines_of
from tests.trips.running import get, request, token
from tests.trips.session_running import OWN_PAGE, preset, serving, set_cookies

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


async def test_cve_2026_34457_the_user_agent_of_a_health_check_opens_nothing(target: Target) -> None:
    for agent in ("GoogleHC/1.0", "kube-probe/1.29", "ELB-HealthChecker/2.0", "Amazon-Route53-Health-Check-Service"):
        await target.refuses(get("/api/x", f"User-Agent: {agent}"), 401)
        await target.refuses(request("HEAD", "/api/x", f"User-Agent: {agent}"), 401)
    assert await target.identity(get("/ping", "User-Agent: GoogleHC/1.0", "X-User-Id: root")) is None


@pytest.mark.parametrize(
    "name",
    [
        *(
            "X-Forwarded-Uri",
            "X-Original-URI",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X_Forwarded_Uri",
            "X-Forwarded-Path",
        ),
        *("X-Forwarded-Prefix", "X-Original-Path", "X-Envoy-Original-Path"),
    ],
)
async def test_cve_2026_40575_no_header_says_which_path_is_asked_for(target: Target, name: str) -> None:
    await target.refuses(get("/admin/x", f"{name}: /public/x"), 401)
    seen = await target.passes(get("/public/x", f"{name}: /admin/x"))
    assert seen.target == "/public/x"
    if name != "X-Original-Path":  # that name means nothing to anybody
        assert name.upper().replace("-", "_") not in lines_of(seen)


@pytest.mark.parametrize(
    "path", ["/admin/x#/public/x", "/public/x#/../../admin/x", "/admin/x%23/../../public/x", "/public#/x", "/#", "#"]
)
async def test_cve_2026_41059_a_fragment_is_part_of_no_path(target: Target, path: str) -> None:
    await target.refuses(get(path), 400, 401)


async def test_cve_2026_41059_an_encoded_hash_stays_one(target: Target) -> None:
    assert (await target.passes(get("/public/%23x"))).target == "/public/%23x"
    await target.refuses(get("/admin/x%23/public"), 401)


@pytest.mark.parametrize(
    "email",
    [
        *("eve@evil.example@corp.example", "ann@corp.example@evil.example", "ann@corp.example.evil.example"),
        *("ANN@corp.example", " ann@corp.example", "ann@corp.example\x00", "ann@corp.example,eve@evil.example", ""),
    ],
)
async def test_cve_2026_40574_a_claim_is_compared_as_a_whole(target: Target, email: str) -> None:
    assert await target.identity(get("/staff/x", bearer=token(email="ann@corp.example"))) == "alice"
    await target.refuses(get("/staff/x", bearer=token(email=email)), 403)
    await target.refuses(get("/staff/x", bearer=token(email=[email, "ann@corp.example"])), 403)


async def test_cve_2026_34454_a_logout_clears_the_cookies_and_the_tokens_are_void(tmp_path: Path) -> None:
    changes = {"answer": {"login": "cookies", "refresh": "cookies"}}
    routes = {"token_from": ["authorization", {"cookie": "__Host-access"}]}
    async with serving(
        tmp_path, preset("seed0"), changes={"sessions": {**changes, "cookies": {"refresh_cookie": True}}, **routes}
    ) as gate:
        cookies = set_cookies(await gate.try_login("alice", OWN_PAGE))
        line = "Cookie: " + "; ".join(f"{name}={each['value']}" for name, each in cookies.items())
        assert (await gate.ask(get("/api/x", line))).status == 200
        answer = await gate.ask(request("POST", "/auth/logout", line, OWN_PAGE, body=b""))
        assert answer.status == 204
        assert {name: each["value"] for name, each in set_cookies(answer).items()} == dict.fromkeys(cookies, "")
        assert all(each["max-age"] == "0" for each in set_cookies(answer).values())
        assert (await gate.ask(get("/api/x", line))).status == 401
        assert (await gate.post("/auth/refresh", None, line, OWN_PAGE)).status == 401


@pytest.mark.parametrize("name", ["X_User_Id", "x_user_id", "X_User-Id", "X.User.Id", "X_Email", "X-Forwarded_User"])
async def test_cve_2025_64484_no_spelling_of_an_identity_header_passes(target: Target, name: str) -> None:
    for path, bearer in (("/public/x", None), ("/maybe/x", None), ("/api/x", token())):
        seen = await target.passes(get(path, f"{name}: admin", bearer=bearer))
        assert "admin" not in [value for _, value in seen.headers]


@pytest.mark.parametrize("query", ["?/public/x", "?x=/ping", "?.png", "?a=%2Fpublic%2Fx", "?%0a/public/", "??/public"])
async def test_cve_2025_54576_a_query_opens_nothing(target: Target, query: str) -> None:
    await target.refuses(get("/admin/x" + query), 401)
    await target.refuses(get("/ping2" + query), 404)


REDIRECTING = {
    "sessions": {
        "redirects": ["/welcome", "https://app.example/home"],
        "answer": {"login": "cookies", "refresh": "cookies"},
        "cookies": {"refresh_cookie": True},
    }
}
LISTED = ("/welcome", "https://app.example/home")


async def leads_nowhere_else(directory: Path, *targets: str) -> None:
    """Log in and out with each redirect: it leads to what is listed, byte for byte, and anything else is refused."""
    async with serving(directory, preset("seed0"), changes=REDIRECTING) as gate:
        for target in LISTED:
            answer = await gate.try_login("alice", OWN_PAGE, redirect=target)
            assert (answer.status, answer.one("Location")) == (303, target)
        for target in targets:
            for answer in (
                await gate.try_login("alice", OWN_PAGE, redirect=target),
                await gate.post("/auth/logout", {"redirect": target}, OWN_PAGE, form=True),
            ):
                assert (answer.status, answer.one("Location"), answer.all("Set-Cookie")) == (400, None, [])


async def test_cve_2021_21291_a_redirect_to_a_name_that_ends_like_a_listed_one(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path, "https://evilapp.example/home", "https://app.example.evil.example/home", "https://x.app.example/home"
    )


async def test_ghsa_5m6c_jp6f_2vcv_a_redirect_by_backslashes(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path, "/\\evil.example", "/welcome\\..\\\\evil.example", "\\\\evil.example", "/\\/evil"
    )


async def test_ghsa_j7px_6hwj_hpjg_a_redirect_by_what_browsers_leave_out(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path, "/\t/evil.example", "/\n/evil.example", "ht\ntps://evil.example", " //evil.example"
    )


async def test_ghsa_qqxw_m5fj_f7gv_a_redirect_to_another_host_without_a_scheme(tmp_path: Path) -> None:
    await leads_nowhere_else(
        tmp_path,
        *("//evil.example", "///evil.example", "https:/evil.example", "https:evil.example", "javascript:alert(1)"),
        *("https://app.example@evil.example/home", "/welcome?x", "/welcome/", "/welcome%0d%0aX: y", "/Welcome"),
    )


async def test_cve_2021_21411_a_group_that_cannot_be_checked_is_not_held(target: Target) -> None:
    """A claim that is absent, or of another kind than expected, is a no; the check is never off."""
    assert await target.identity(get("/group/x", bearer=token(groups=["x", "devs"]))) == "alice"
    for groups in (None, [], ["devs2"], ["DEVS"], {"devs": True}, [["devs"]], 1, True, "devs2 x", "", ["devs "]):
        await target.refuses(get("/group/x", bearer=token(groups=groups)), 403)
