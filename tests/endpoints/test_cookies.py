import pytest
from aiohttp import ClientResponse

from tests.endpoints.conftest import Start
from tests.endpoints.running import PASSWORD, Running, error_of

ALICE = {"username": "alice", "password": PASSWORD}
APP = "https://app.example.com"
OWN = {"Sec-Fetch-Site": "same-origin"}
COOKIES = {"answer": {"login": "cookies", "refresh": "cookies"}, "cookies": {"origins": [APP]}}


@pytest.fixture
async def running(start: Start) -> Running:
    return await start(**COOKIES)


def cookie_lines(response: ClientResponse) -> list[set[str]]:
    return [set(line.split("; ")) for line in response.headers.getall("Set-Cookie", [])]


async def jar(running: Running) -> dict[str, str]:
    response = await running.http.post("/auth/login", json=ALICE)
    assert response.status == 200
    return {name: morsel.value for name, morsel in response.cookies.items()}


async def refreshed(running: Running, cookies: dict[str, str], **headers: str) -> ClientResponse:
    """Send what a browser would: the cookies by hand, since the client's jar keeps none over plain HTTP."""
    line = "; ".join(f"{name}={value}" for name, value in cookies.items())
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await running.http.post("/auth/refresh", headers={"Cookie": line, **given})


async def test_cookies_are_out_of_reach_of_scripts_and_other_hosts(running: Running) -> None:
    """C116"""
    response = await running.http.post("/auth/login", json=ALICE)
    access, refresh = cookie_lines(response)
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=600"} <= access
    assert any(part.startswith("__Host-access=") for part in access)
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/auth", f"Max-Age={30 * 86400}"} <= refresh
    assert any(part.startswith("__Secure-refresh=") for part in refresh)
    assert not any(part.lower().startswith("domain") for part in access | refresh)
    assert set(await response.json()) == {"token_type", "expires_in", "scope"}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": APP + ".evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_cookie_that_another_site_sends_counts_for_nothing(running: Running, headers: dict[str, str]) -> None:
    """C117: cross-site request forgery."""
    cookies = await jar(running)
    response = await refreshed(running, cookies, **headers)
    assert (response.status, await error_of(response)) == (403, "access_denied")
    assert "Set-Cookie" not in response.headers
    line = "; ".join(f"{name}={value}" for name, value in cookies.items())
    response = await running.http.post("/auth/logout", headers={"Cookie": line, **headers})
    assert response.status == 403
    assert (await running.session_of(cookies["__Secure-refresh"])).generation == 1
    assert running.ends() == []


@pytest.mark.parametrize("headers", [OWN, {"Origin": APP}, {"Origin": "https://gw.example", **OWN}])
async def test_our_own_pages_may_refresh_with_cookies(running: Running, headers: dict[str, str]) -> None:
    cookies = await jar(running)
    response = await refreshed(running, cookies, **headers)
    assert response.status == 200
    assert set(response.cookies) == {"__Host-access", "__Secure-refresh"}
    assert response.cookies["__Secure-refresh"].value != cookies["__Secure-refresh"]
    assert set(await response.json()) == {"token_type", "expires_in", "scope"}


async def test_parallel_tabs_get_the_same_cookies(running: Running) -> None:
    cookies = await jar(running)
    first, second = [await refreshed(running, cookies, **OWN) for _ in range(2)]
    assert cookie_lines(first) == cookie_lines(second)


async def test_a_session_that_is_over_leaves_no_cookies_behind(running: Running) -> None:
    """C83"""
    cookies = await jar(running)
    running.later(7 * 86400 + 1)
    response = await refreshed(running, cookies, **OWN)
    assert (response.status, await error_of(response)) == (401, "invalid_token")
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="gw", error="invalid_token"')
    for line, path in zip(cookie_lines(response), ("/", "/auth"), strict=True):
        assert {"Max-Age=0", f"Path={path}", "Secure", "HttpOnly"} <= line
    assert "__Host-access" in response.cookies
    assert "__Secure-refresh" in response.cookies


async def test_another_site_cannot_have_the_cookies_cleared(start: Start) -> None:
    running = await start()
    form = {"refresh_token": "junk"}
    for path, status in (("/auth/refresh", 401), ("/auth/logout", 204)):
        response = await running.post(path, form, headers={"Origin": "https://evil.example"})
        assert response.status == status
        assert "Set-Cookie" not in response.headers


async def test_another_site_cannot_log_somebody_in(running: Running) -> None:
    """Login cross-site request forgery: the victim would work in the attacker's account."""
    response = await running.post("/auth/login", ALICE, headers={"Origin": "https://evil.example"})
    assert (response.status, await error_of(response)) == (403, "access_denied")
    assert "Set-Cookie" not in response.headers


async def test_another_site_cannot_put_its_own_session_into_our_cookies(running: Running) -> None:
    """The same attack with the attacker's refresh token in a form."""
    form = {"refresh_token": (await jar(running))["__Secure-refresh"]}
    response = await running.post("/auth/refresh", form, headers={"Origin": "https://evil.example"})
    assert (response.status, await error_of(response)) == (403, "access_denied")
    assert "Set-Cookie" not in response.headers
    assert (await running.session_of(form["refresh_token"])).generation == 1
    assert "__Host-access" in (await running.post("/auth/refresh", form, headers={"Origin": APP})).cookies


async def test_a_request_without_anything_must_log_in(running: Running) -> None:
    response = await running.http.post("/auth/refresh", headers=OWN)
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="gw"'


async def test_two_cookies_of_one_name_are_refused(running: Running) -> None:
    cookies = await jar(running)
    line = f"__Secure-refresh={cookies['__Secure-refresh']}; __Secure-refresh=other"
    response = await running.http.post("/auth/refresh", headers={"Cookie": line, **OWN})
    assert (response.status, await error_of(response)) == (400, "invalid_request")


async def test_a_logout_ends_the_session_of_the_cookie_and_clears_it(running: Running) -> None:
    """C118"""
    cookies = await jar(running)
    line = "; ".join(f"{name}={value}" for name, value in cookies.items())
    response = await running.http.post("/auth/logout", headers={"Cookie": line, **OWN})
    assert response.status == 204
    assert set(response.cookies) == {"__Host-access", "__Secure-refresh"}
    assert not running.is_good(cookies["__Host-access"])
    assert (await refreshed(running, cookies, **OWN)).status == 401


async def test_the_access_token_can_stay_with_the_script(start: Start) -> None:
    running = await start(answer={"login": "cookies"}, cookies={"access_cookie": False, "same_site": "lax"})
    response = await running.http.post("/auth/login", json=ALICE)
    assert set(await response.json()) == {"access_token", "token_type", "expires_in", "scope"}
    (line,) = cookie_lines(response)
    assert {"SameSite=Lax", "Path=/auth"} <= line


async def test_the_refresh_token_can_stay_with_the_page(start: Start) -> None:
    running = await start(**COOKIES | {"cookies": {"refresh_cookie": False, "origins": [APP]}})
    response = await running.http.post("/auth/login", json=ALICE)
    (line,) = cookie_lines(response)
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=600"} <= line
    body = await response.json()
    assert set(body) == {"refresh_token", "token_type", "expires_in", "scope"}
    response = await running.post("/auth/refresh", {"refresh_token": body["refresh_token"]}, headers=OWN)
    assert set(response.cookies) == {"__Host-access"}
    again = (await response.json())["refresh_token"]
    assert again != body["refresh_token"]
    assert (await refreshed(running, {"__Secure-refresh": again}, **OWN)).status == 401
    response = await running.post("/auth/logout", {"refresh_token": again}, headers=OWN)
    assert response.status == 204
    assert (await running.exchange(again)).status == 400


async def test_a_refresh_token_from_a_cookie_never_gets_into_a_body(start: Start) -> None:
    running = await start(answer={"login": "cookies", "refresh": "json"})
    response = await refreshed(running, await jar(running), **OWN)
    assert set(response.cookies) == {"__Host-access", "__Secure-refresh"}
    assert "refresh_token" not in await response.json()


async def test_a_bound_exchange_finds_the_expired_access_token_in_its_cookie(start: Start) -> None:
    running = await start(**COOKIES, exchange={"access_token": "bound"})
    response = await running.http.post("/auth/login", json=ALICE)
    assert f"Max-Age={30 * 86400}" in cookie_lines(response)[0]
    cookies = {name: morsel.value for name, morsel in response.cookies.items()}
    running.later(700)
    assert (await refreshed(running, cookies, **OWN)).status == 200


async def test_tokens_can_travel_in_headers(start: Start) -> None:
    running = await start(answer={"login": "headers", "refresh": "headers"})
    response = await running.http.post("/auth/login", json=ALICE)
    assert set(await response.json()) == {"token_type", "expires_in", "scope"}
    assert running.is_good(response.headers["X-Access-Token"])
    response = await running.post("/auth/refresh", {"refresh_token": response.headers["X-Refresh-Token"]})
    assert running.is_good(response.headers["X-Access-Token"])
    assert response.headers["Cache-Control"] == "no-store"
