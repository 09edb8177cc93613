"""What attackers try through the console: by what they send to the gateway, and by pages of their own."""

import json
import re

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.console.another_site import ASKING, FORM, another_site
from tests.console.served import Served, issued
from tests.console.visitor import PAGES, Visitor

IMAGE = '<img src=x onerror="window.pwned=1">'
SCRIPT = "\"'><script>window.pwned=1</script>{{7*7}}${7*7}"
LINK = "javascript:window.pwned=1//"


def harmless(visitor: Visitor) -> None:
    """Raise AssertionError if something that came in a request has become more than text."""
    assert visitor.page.evaluate("window.pwned ?? null") is None
    assert visitor.page.locator("img, iframe, object, embed, script:not([src])").count() == 0
    hrefs = visitor.page.evaluate("[...document.querySelectorAll('a')].map((each) => each.getAttribute('href'))")
    assert all(href.startswith("#") for href in hrefs), hrefs


# --- markup in what comes in requests


@pytest.mark.parametrize("text", [IMAGE, SCRIPT, LINK])
def test_markup_in_a_request_stays_text_wherever_it_is_shown(visitor: Visitor, served: Served, text: str) -> None:
    visitor.sign_in()
    token = issued(sub=text, scope="orders:read", email=text, name=text, jti=text)
    path = "/orders/" + "".join(char if char.isalnum() else f"%{ord(char):02X}" for char in text if char not in "/\\#?")
    status, request_id = served.ask(path, token, User_Agent=text)
    assert status == 403
    visitor.go("decisions")
    row = visitor.row("insufficient_scope").filter(has_text=text).first
    expect(row).to_be_visible()
    row.click()
    detail = visitor.page.get_by_label("Decision", exact=True)
    for label in ("Subject", "Token id", "User agent", "email", "name"):
        expect(detail.locator("dt", has_text=re.compile(f"^{label}$")).locator("xpath=../dd")).to_contain_text(text)
    expect(detail).to_contain_text(request_id)
    harmless(visitor)
    visitor.page.locator(".detail a.also").first.click()
    expect(visitor.page.get_by_label("Subject")).to_have_value(text)
    harmless(visitor)


def test_markup_in_sessions_and_questions_stays_text(visitor: Visitor, served: Served) -> None:
    served.log_in(IMAGE, device=IMAGE)
    visitor.sign_in()
    visitor.go("sessions")
    visitor.page.get_by_label("Subject").fill(IMAGE)
    visitor.page.get_by_role("button", name="Find sessions").click()
    expect(visitor.row(IMAGE)).to_have_count(1)
    visitor.row(IMAGE).get_by_role("button").click()
    expect(visitor.dialog()).to_contain_text(IMAGE)
    harmless(visitor)
    visitor.dialog().get_by_role("button", name="Cancel").click()
    visitor.go("explain")
    visitor.page.get_by_label("URL").fill(f"https://{IMAGE}/orders/{IMAGE}")
    visitor.page.locator("input[name=token]").fill(issued(sub=IMAGE, iss=IMAGE))
    visitor.page.get_by_text("Headers, address, time").click()
    visitor.page.get_by_label("Headers").fill(f"X-Test: {IMAGE}")
    visitor.page.get_by_role("button", name="Explain").click()
    expect(visitor.page.locator(".result")).to_contain_text("<img")
    harmless(visitor)


@pytest.mark.parametrize(
    "place", [f"decisions/{LINK}", f"{IMAGE}", "sessions/%", f"routes?search={IMAGE}", "__proto__/x"]
)
def test_an_address_made_by_somebody_else_does_no_harm(visitor: Visitor, place: str) -> None:
    visitor.sign_in()
    visitor.page.goto(f"{visitor.url}#/{place}")
    visitor.page.reload()
    expect(visitor.page.locator("main h1")).to_be_visible()
    harmless(visitor)


def test_the_page_could_not_run_markup_even_if_it_were_written(visitor: Visitor) -> None:
    """What the policy and trusted types say, apart from what our own code does."""
    visitor.sign_in()
    outcomes = visitor.page.evaluate(
        """(markup) => {
            const tried = {};
            const attempt = (name, work) => {
                try { work(); tried[name] = "done"; } catch (error) { tried[name] = error.name; }
            };
            attempt("innerHTML", () => document.createElement("div").innerHTML = markup);
            attempt("policy", () => trustedTypes.createPolicy("mine", {createHTML: (text) => text}));
            attempt("write", () => document.write(markup));
            return tried;
        }""",
        IMAGE,
    )
    assert set(outcomes.values()) == {"TypeError"}
    visitor.page.evaluate("""() => {
        const script = document.createElement("script");
        script.append("window.pwned = 1");
        try { document.body.append(script); } catch {}
    }""")
    assert visitor.page.evaluate("window.pwned ?? null") is None
    assert visitor.page.evaluate("fetch('http://localhost:9/').catch((error) => error.name)") == "TypeError"
    violations = visitor.page.evaluate("window.violations")
    assert any("connect-src" in each for each in violations)
    visitor.page.evaluate("window.violations = []")
    visitor.errors.clear()
    visitor.strays.clear()


# --- pages of other sites


def test_a_page_of_another_site_cannot_show_the_console_in_a_frame(context: BrowserContext, served: Served) -> None:
    page = context.new_page()
    refusals: list[str] = []
    page.on("console", lambda message: refusals.append(message.text))
    with another_site(f'<h1>prizes</h1><iframe src="{served.url}"></iframe>') as site:
        page.goto(site)
        page.wait_for_load_state("load")
        [frame] = page.frames[1:]
        assert frame.locator("body :text('Sign in')").count() == 0
        assert frame.url.startswith("chrome-error:") or frame.content().count("console.css") == 0
    assert any("frame" in text for text in refusals)
    page.close()


def test_a_page_of_another_site_can_neither_change_nor_read_anything(
    context: BrowserContext, visitor: Visitor, served: Served
) -> None:
    tokens = served.log_in("alice")
    visitor.sign_in()
    api = f"{served.gateway.admin_url}/admin/api/v1"
    with another_site(FORM.format(api=api)) as site:
        page = context.new_page()
        page.goto(site)
        assert set(page.evaluate(ASKING, api)) <= {"TypeError", "opaque"}
        with page.expect_response(api + "/revocations") as answer:
            page.evaluate("document.forms[0].submit()")
        assert answer.value.status == 403
        page.close()
    assert served.ask("/api/1", tokens["access_token"])[0] == 200
    assert served.gateway.events("admin_change") == []


# --- without a token


def test_nothing_is_told_without_a_token(visitor: Visitor, served: Served) -> None:
    visitor.arrive()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    for name in PAGES:
        visitor.page.goto(f"{served.url}#/{name}")
        visitor.page.reload()
        expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert served.fleet.issuer not in visitor.page.content()
    for path in (
        "/me",
        "/counters",
        "/decisions",
        "/routes",
        "/keys",
        "/config",
        "/subjects/alice/sessions",
        "/nothing",
    ):
        for token in (None, "x" * 40):
            assert served.admin_status(path, token) == 401, path


def test_a_refused_token_is_not_kept_or_repeated(visitor: Visitor) -> None:
    visitor.arrive()
    token = "a-mistyped-token-of-32-characters-or-more"
    visitor.page.get_by_label("Token").fill(token)
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("not accepted")
    assert token not in json.dumps(visitor.stored()) + visitor.page.content() + visitor.page.url
