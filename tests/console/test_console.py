"""What an operator does: look why somebody is refused, and put it right. A real gateway, in a real browser."""

import json
import re
import time
from functools import partial

import pytest
from playwright.sync_api import BrowserContext, Page, expect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.clients.processes import ADMIN_TOKEN, PATIENCE
from tests.console.served import READ_TOKEN, Served, issued, wait_until
from tests.console.visitor import PAGES, Visitor


def an_hour_ago() -> int:
    return int(time.time()) - 3600


def expired(**claims: object) -> str:
    return issued(iat=an_hour_ago(), exp=an_hour_ago() + 60, **claims)


def is_refused(served: Served, access_token: str) -> bool:
    return served.ask("/api/1", access_token)[0] == 401


# --- signing in


def test_a_wrong_token_is_refused_and_said_so(visitor: Visitor) -> None:
    visitor.arrive()
    visitor.page.get_by_label("Token").fill("not-the-token-of-32-characters-or-more")
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("not accepted")
    assert visitor.stored()["session"] == {}


def test_the_token_stays_in_the_tab_and_goes_with_it(context: BrowserContext, visitor: Visitor, served: Served) -> None:
    visitor.sign_in()
    visitor.page.reload()
    expect(visitor.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    assert visitor.stored() == {"local": {}, "session": {"console.token": ADMIN_TOKEN}, "cookies": ""}
    other = context.new_page()
    other.goto(served.url)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    other.close()
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert visitor.stored() == {"local": {}, "session": {}, "cookies": ""}


def test_a_token_that_counts_no_more_leads_back_to_signing_in(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.evaluate("sessionStorage.setItem('console.token', 'one-that-was-replaced-meanwhile-by-another')")
    visitor.page.reload()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(visitor.page.get_by_role("alert")).to_contain_text("not any more")


# --- looking


def test_every_page_shows_what_it_is_for(visitor: Visitor, served: Served) -> None:
    served.log_in("erin")
    visitor.sign_in()
    for name in PAGES:
        visitor.go(name)
    visitor.go("routes")
    expect(visitor.page.locator("details.route").filter(has_text="orders")).to_contain_text("token required")
    expect(visitor.page.locator(".upstream")).to_contain_text(served.fleet.upstream)
    visitor.go("keys")
    expect(visitor.page.locator("main")).to_contain_text("issuer.json")
    visitor.go("settings")
    expect(visitor.page.locator(".config")).to_contain_text("audiences:")


def test_the_overview_counts_what_happens(visitor: Visitor, served: Served) -> None:
    visitor.sign_in()
    requests = visitor.page.get_by_role("img", name=re.compile("^Requests of the last minutes"))
    expect(requests).to_be_visible()
    before = requests.get_attribute("aria-label")
    assert served.ask("/api/x")[0] == 401
    chip = visitor.page.locator(".bars").get_by_role("link", name="missing_credentials")
    expect(chip).to_be_visible()
    expect(requests).not_to_have_attribute("aria-label", before or "")
    chip.click()
    expect(visitor.page.get_by_label("Reason")).to_have_value("missing_credentials")
    expect(visitor.row("missing_credentials").first).to_be_visible()


def test_a_refusal_appears_by_itself_and_tells_its_exact_reason(visitor: Visitor, served: Served) -> None:
    visitor.sign_in()
    visitor.go("decisions?outcome=refuse")
    token = expired()
    status, request_id = served.ask("/orders/77", token, User_Agent="a phone of alice")
    assert status == 401
    row = visitor.row("/orders/77")
    expect(row).to_contain_text("expired_token")
    row.click()
    detail = visitor.page.get_by_label("Decision", exact=True)
    expect(detail).to_contain_text("the client refreshes")
    for text in (request_id, "a phone of alice", "127.0.0.1", "nobody was proven", "orders:write"):
        expect(detail).to_contain_text(text)
    expect(detail.locator(".because")).to_contain_text(f"exp {an_hour_ago() + 60}"[:10])
    detail.get_by_role("link", name="Explain with a token").click()
    expect(visitor.page.get_by_label("URL")).to_have_value(re.compile(r"/orders/77$"))
    visitor.page.locator("input[name=token]").fill(token)
    visitor.page.get_by_role("button", name="Explain").click()
    expect(visitor.page.locator(".outcome")).to_contain_text("Refused")
    expect(visitor.page.locator(".steps .no").first).to_contain_text("expired_token")


def test_the_token_of_an_explanation_is_forgotten(visitor: Visitor, served: Served) -> None:
    visitor.sign_in()
    visitor.go("explain")
    token = issued(email="alice@example.com")
    visitor.page.get_by_label("URL").fill("https://api.example/orders/1")
    field = visitor.page.locator("input[name=token]")
    field.fill(token)
    visitor.page.get_by_role("button", name="Explain").click()
    expect(visitor.page.locator(".outcome")).to_contain_text("Allowed")
    expect(visitor.page.locator("main")).to_contain_text("What the upstream app gets")
    for written in (visitor.page.locator("main").inner_text(), json.dumps(visitor.stored()), served.gateway.text()):
        assert token not in written
    visitor.go("keys")
    visitor.page.go_back()
    expect(field).to_have_value("")


def test_decisions_are_found_by_what_is_known_of_them(visitor: Visitor, served: Served) -> None:
    served.ask("/orders/1", issued(sub="frank", scope="orders:read"))
    served.ask("/orders/2", issued(sub="grace", scope="orders:read"))
    _, request_id = served.ask("/api/3")
    visitor.sign_in()
    visitor.go("decisions")
    visitor.page.get_by_label("Subject").fill("frank")
    expect(visitor.row("/orders/1")).to_have_count(1)
    expect(visitor.row("/orders/2")).to_have_count(0)
    assert "subject=frank" in visitor.page.url
    visitor.page.get_by_label("Subject").fill("nobody-of-this-name")
    expect(visitor.page.locator("main")).to_contain_text("Nothing matches")
    visitor.page.get_by_role("button", name="Clear the filters").click()
    visitor.page.get_by_label("Request id").fill(request_id)
    expect(visitor.page.locator("main tbody tr")).to_have_count(1)
    expect(visitor.row("/api/3")).to_be_visible()


def test_decisions_are_read_with_the_keyboard(visitor: Visitor, served: Served) -> None:
    for number in (1, 2, 3):
        served.ask(f"/orders/key{number}", issued(sub="heidi", scope="orders:read"))
    visitor.sign_in()
    visitor.go("decisions?subject=heidi")
    expect(visitor.row("heidi")).to_have_count(3)
    detail = visitor.page.get_by_label("Decision", exact=True)
    keyboard = visitor.page.keyboard
    keyboard.press("j")
    keyboard.press("Enter")
    expect(detail).to_contain_text("/orders/key3")
    keyboard.press("j")
    expect(detail).to_contain_text("/orders/key2")
    keyboard.press("k")
    expect(detail).to_contain_text("/orders/key3")
    keyboard.press("Escape")
    expect(detail).to_be_hidden()
    keyboard.press("p")
    served.ask("/orders/key4", issued(sub="heidi", scope="orders:read"))
    more = visitor.page.get_by_role("button", name="Show 1 new")
    expect(more).to_be_visible()
    expect(visitor.row("heidi")).to_have_count(3)
    more.click()
    expect(visitor.row("heidi")).to_have_count(4)
    keyboard.press("g")
    keyboard.press("k")
    expect(visitor.page.get_by_role("heading", level=1, name="Keys")).to_be_visible()


def test_who_loses_the_gateway_is_told_and_finds_it_again(page: Page, visitor: Visitor, served: Served) -> None:
    visitor.sign_in()
    visitor.go("decisions")
    page.context.set_offline(True)
    banner = page.locator(".stage > .banner")
    expect(banner).to_contain_text("does not answer")
    page.context.set_offline(False)
    banner.get_by_role("button", name="Try now").click()
    expect(banner).to_be_hidden()


def test_a_tab_that_nobody_sees_asks_nothing(page: Page, visitor: Visitor) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.install()
    visitor.sign_in()
    visitor.go("decisions")
    look = """(isHidden) => {
        Object.defineProperty(document, "hidden", {configurable: true, get: () => isHidden});
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(look, True)
    before = len(asked)
    page.clock.run_for(60_000)
    assert asked[before:] == []
    with page.expect_request(re.compile("/decisions")):
        page.evaluate(look, False)


# --- changing


def test_a_session_that_is_ended_is_over_at_once(visitor: Visitor, served: Served) -> None:
    phone, laptop = served.log_in("bob", "Bob's phone"), served.log_in("bob", "Bob's laptop")
    assert served.ask("/api/1", phone["access_token"])[0] == 200
    url = served.gateway.url.replace("http", "ws", 1) + "/api/ws"
    headers = {"Authorization": f"Bearer {phone['access_token']}"}
    with connect(url, additional_headers=headers, compression=None) as socket:
        assert socket.recv(timeout=PATIENCE) == "hello"
        visitor.sign_in()
        visitor.go("sessions")
        visitor.page.get_by_label("Subject").fill("bob")
        visitor.page.keyboard.press("Enter")
        expect(visitor.row("Bob's")).to_have_count(2)
        visitor.row("Bob's phone").get_by_role("button", name="End").click()
        expect(visitor.dialog()).to_contain_text("Bob's phone")
        visitor.dialog().get_by_role("button", name="End").click()
        expect(visitor.row("Bob's")).to_have_count(1)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=PATIENCE)
    wait_until(lambda: served.ask("/api/2", phone["access_token"])[0] == 401, "refused")
    assert served.ask("/api/3", laptop["access_token"])[0] == 200
    visitor.go("decisions?reason=revoked_token")
    expect(visitor.row("/api/2").first).to_be_visible()


def test_all_sessions_of_somebody_end_after_the_name_was_typed(visitor: Visitor, served: Served) -> None:
    tokens = [served.log_in('carol/of the "quoted"?#', f"device {number}") for number in (1, 2)]
    visitor.sign_in()
    visitor.go("sessions")
    visitor.page.get_by_label("Subject").fill('carol/of the "quoted"?#')
    visitor.page.get_by_role("button", name="Find sessions").click()
    expect(visitor.row("device")).to_have_count(2)
    visitor.page.get_by_role("button", name="End all").click()
    end = visitor.dialog().get_by_role("button", name="End all")
    expect(end).to_be_disabled()
    visitor.dialog().get_by_label("Type the subject").fill("carol")
    expect(end).to_be_disabled()
    visitor.dialog().get_by_label("Type the subject").fill('carol/of the "quoted"?#')
    end.click()
    expect(visitor.page.locator(".said")).to_contain_text("Sessions ended: 2")
    expect(visitor.page.locator(".found")).to_contain_text("is not logged in")
    for access_token in (each["access_token"] for each in tokens):
        wait_until(partial(is_refused, served, access_token), "refused")


def test_who_may_only_read_sees_why_nothing_can_be_changed(visitor: Visitor, served: Served) -> None:
    tokens = served.log_in("dave")
    visitor.sign_in(READ_TOKEN)
    expect(visitor.page.locator(".badge.read")).to_have_text("read")
    visitor.go("sessions/dave")
    for button in visitor.page.locator("button.danger").all():
        expect(button).to_be_disabled()
        assert "read only" in (button.get_attribute("title") or "")
    expect(visitor.page.locator(".found")).to_contain_text("Your role may read only")
    visitor.go("settings")
    expect(visitor.page.get_by_role("button", name="Read it again")).to_be_disabled()
    # What the page does not offer, the gateway refuses as well.
    statuses = visitor.page.evaluate(
        """async (token) => Promise.all([["DELETE", "subjects/dave/sessions"], ["POST", "reload"]].map(
            async ([method, path]) =>
                (await fetch(`api/v1/${path}`, {method, headers: {Authorization: `Bearer ${token}`}})).status))""",
        READ_TOKEN,
    )
    assert statuses == [403, 403]
    assert served.ask("/api/1", tokens["access_token"])[0] == 200


def test_a_reload_tells_what_became_of_it(visitor: Visitor, served: Served) -> None:
    file = served.fleet.directory / "gateway1.yaml"
    config = json.loads(file.read_text())
    visitor.sign_in()
    visitor.go("settings")
    reload = visitor.page.get_by_role("button", name="Read it again")
    try:
        file.write_text(json.dumps({**config, "routes": [*config["routes"], {"id": "broken"}]}))
        reload.click()
        expect(visitor.page.locator(".mistakes")).to_contain_text("routes[2]")
        added = {**config["routes"][0], "id": "added", "match": {"path": "/added/**"}}
        file.write_text(json.dumps({**config, "routes": [*config["routes"], added]}))
        reload.click()
        expect(visitor.page.locator(".mistakes")).to_have_count(0)
        visitor.go("routes?search=added")
        expect(visitor.page.locator("details.route")).to_contain_text("/added/**")
    finally:
        file.write_text(json.dumps(config))


def test_everything_is_made_void_after_the_issuer_was_typed(visitor: Visitor, served: Served) -> None:
    tokens = served.log_in("ivan")
    visitor.sign_in()
    visitor.go("sessions")
    visitor.page.get_by_text("Make tokens void").click()
    visitor.page.get_by_label("What").select_option("everything")
    visitor.page.get_by_role("button", name="Make void").click()
    void = visitor.dialog().get_by_role("button", name="Make void")
    expect(void).to_be_disabled()
    visitor.dialog().get_by_label("Type the issuer").fill(served.fleet.issuer)
    void.click()
    expect(visitor.page.locator(".said")).to_contain_text("Made void")
    wait_until(lambda: served.ask("/api/1", tokens["access_token"])[0] == 401, "refused")
    [change] = [line for line in served.gateway.events("tokens_cut_off") if line["level"] == "warning"][-1:]
    assert change["event"] == "tokens_cut_off"
