"""Whether everybody can use it: on a phone, in the dark, in Korean, by keyboard, with a screen reader."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.console.served import Served, issued
from tests.console.visitor import PAGES, Visitor

PLACES = (*PAGES, "sessions/alice", "decisions?subject=nobody-of-this-name")

_NAMELESS = """
() => {
    const text = (id) => document.getElementById(id)?.textContent ?? "";
    const named = (each) => [
        each.getAttribute("aria-label"), ...(each.getAttribute("aria-labelledby") ?? "").split(" ").map(text),
        ...[...(each.labels ?? [])].map((label) => label.textContent),
        each.matches("a, button, summary, th, dialog") ? each.textContent : "",
    ].some((name) => name?.trim());
    const controls = document.querySelectorAll(
        "a, button, summary, input, select, textarea, dialog, nav, [role=img], [role=region], aside");
    return [...controls].filter((each) => !named(each)).map((each) => each.outerHTML.slice(0, 120));
}
"""
_MISTAKES = """
() => {
    const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
    const levels = [...document.querySelectorAll("h1, h2, h3, h4")].filter((each) => each.checkVisibility())
        .map((each) => Number(each.tagName[1]));
    return {
        twice: ids.filter((id, index) => ids.indexOf(id) !== index),
        titles: levels.filter((level) => level === 1).length,
        leaps: levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1),
        mains: document.querySelectorAll("main").length,
        tables: [...document.querySelectorAll("main > div > div > table")].filter((each) => !each.caption).length,
        language: document.documentElement.lang,
    };
}
"""
_FAINT = """
() => {
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const paint = (colour, below) => {
        canvas.clearRect(0, 0, 1, 1);
        for (const each of [...below, colour]) { canvas.fillStyle = each; canvas.fillRect(0, 0, 1, 1); }
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
        .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
    const faint = [];
    for (const each of document.querySelectorAll("body *")) {
        const says = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!says || !each.checkVisibility() || each.closest("[disabled], .unseen, svg")) continue;
        const below = [];
        for (let up = each; up; up = up.parentElement) below.unshift(getComputedStyle(up).backgroundColor);
        const [on, text] = [light(paint(below.pop(), below)), light(paint(getComputedStyle(each).color, below))];
        const contrast = (Math.max(on, text) + 0.05) / (Math.min(on, text) + 0.05);
        if (contrast < 4.5) faint.push(`${each.className} ${each.textContent.slice(0, 40)} ${contrast.toFixed(2)}`);
    }
    return faint;
}
"""


@pytest.fixture(autouse=True, scope="module")
def something_to_see(served: Served) -> None:
    served.log_in("alice", "A device with a rather long name, as some people give them")
    served.ask("/orders/1", issued(sub="bob", scope="orders:read"))
    served.ask("/a-path-without-a-space-" * 12)
    served.ask("/api/1", served.log_in("alice")["access_token"], User_Agent="agent " * 40)


def is_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_the_screen(visitor: Visitor, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 740})
    visitor.sign_in()
    for place in PLACES:
        visitor.go(place)
        assert not is_wide(visitor.page), place
    visitor.go("decisions")
    for text in ("insufficient_scope", "no_route"):
        visitor.row(text).first.click()
        expect(visitor.page.get_by_label("Decision", exact=True)).to_contain_text("127.0.0.1")
        assert not is_wide(visitor.page), text
        visitor.page.get_by_role("button", name="Close").click()


def test_a_phone_has_the_pages_in_a_menu(visitor: Visitor) -> None:
    visitor.page.set_viewport_size({"width": 360, "height": 740})
    visitor.sign_in()
    link, menu = visitor.page.get_by_role("link", name="Keys"), visitor.page.get_by_role("button", name="Menu")
    expect(link).to_be_hidden()
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    link.click()
    expect(visitor.page.get_by_role("heading", level=1, name="Keys")).to_be_visible()
    expect(link).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_and_every_control_has_a_name(visitor: Visitor, theme: str) -> None:
    visitor.arrive()
    visitor.page.get_by_label("Colours").select_option(theme)
    assert visitor.page.evaluate(_FAINT) == []
    visitor.sign_in()
    for place in PLACES:
        visitor.go(place)
        assert visitor.page.evaluate(_NAMELESS) == [], place
        assert visitor.page.evaluate(_FAINT) == [], place
        mistakes = visitor.page.evaluate(_MISTAKES)
        assert mistakes == {"twice": [], "titles": 1, "leaps": [], "mains": 1, "tables": 0, "language": "en"}, place
    visitor.go("decisions")
    visitor.row("insufficient_scope").first.click()
    expect(visitor.page.get_by_label("Decision", exact=True)).to_contain_text("orders:write")
    assert visitor.page.evaluate(_NAMELESS) + visitor.page.evaluate(_FAINT) == []


def test_the_colours_follow_the_system_and_the_switch(visitor: Visitor) -> None:
    def ground() -> object:
        return visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")

    visitor.sign_in()
    visitor.page.emulate_media(color_scheme="light")
    light = ground()
    visitor.page.emulate_media(color_scheme="dark")
    dark = ground()
    assert light != dark
    visitor.page.get_by_label("Colours").select_option("light")
    assert ground() == light
    visitor.page.reload()
    expect(visitor.page.get_by_label("Colours")).to_have_value("light")
    assert ground() == light


def test_it_speaks_korean(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.get_by_label("Language").select_option("ko")
    expect(visitor.page.get_by_role("heading", level=1, name="개요")).to_be_visible()
    visitor.page.reload()
    expect(visitor.page.get_by_role("heading", level=1, name="개요")).to_be_visible()
    assert visitor.page.evaluate("document.documentElement.lang") == "ko"
    for place in PLACES:
        visitor.go(place)
        texts = visitor.page.locator("h1, h2, button, label, nav a, .nothing p").all_inner_texts()
        english = [text for text in texts if re.search(r"\b(the|of|to|is|and|no|all|with)\b", text)]
        assert not english, place
    visitor.page.get_by_role("button", name="로그아웃").click()
    expect(visitor.page.get_by_role("heading", name="로그인")).to_be_visible()


def test_a_browser_in_korean_starts_in_korean(visitor: Visitor) -> None:
    visitor.page.add_init_script("Object.defineProperty(navigator, 'languages', {get: () => ['ko-KR', 'en']})")
    visitor.arrive()
    expect(visitor.page.get_by_role("heading", name="로그인")).to_be_visible()


def focused(page: Page) -> Locator:
    return page.locator(":focus")


def test_the_keyboard_reaches_everything_and_is_never_lost(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.go("sessions/alice")
    visitor.page.reload()
    expect(visitor.row("A device")).to_have_count(1)
    visitor.page.keyboard.press("Tab")
    expect(focused(visitor.page)).to_have_text("Skip to content")
    visitor.page.keyboard.press("Enter")
    expect(focused(visitor.page)).to_have_id("main")
    end = visitor.page.get_by_role("button", name="End all")
    end.focus()
    visitor.page.keyboard.press("Enter")
    for _ in range(8):
        visitor.page.keyboard.press("Tab")
        inside = visitor.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
        assert inside, "the focus has left the dialog"
    visitor.page.keyboard.press("Escape")
    expect(visitor.dialog()).to_have_count(0)
    expect(end).to_be_focused()


def test_single_keys_can_be_switched_off(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.keyboard.press("?")
    visitor.dialog().get_by_label("Use these keys").uncheck()
    visitor.page.keyboard.press("Escape")
    visitor.page.keyboard.press("?")
    expect(visitor.dialog()).to_have_count(0)


def test_graphs_have_their_numbers_in_a_table(visitor: Visitor) -> None:
    visitor.sign_in()
    chart = visitor.page.locator("figure").first
    expect(chart).to_be_visible()
    chart.get_by_text("As a table").click()
    expect(chart.locator("tbody tr").first).to_be_visible()
    expect(chart.locator("thead")).to_contain_text("5xx")
