"""Somebody who uses the console, and notices what must never happen on the way."""

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.clients.processes import ADMIN_TOKEN, PATIENCE

PAGES = ("overview", "decisions", "explain", "sessions", "routes", "keys", "settings")

_NOTICE = """
window.violations = [];
addEventListener("securitypolicyviolation",
    (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""

expect.set_options(timeout=PATIENCE * 1000)


@dataclass
class Visitor:
    """`strays` are requests to other origins, `errors` what the page did not expect."""

    page: Page
    url: str
    strays: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.add_init_script(_NOTICE)
        self.page.on("request", lambda request: self._see(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._hear(message.text))

    def _see(self, url: str) -> None:
        if not url.startswith(self.url):
            self.strays.append(url)

    def _hear(self, text: str) -> None:
        if "Content Security Policy" in text or "Trusted" in text:
            self.errors.append(text)

    def check(self) -> None:
        """Raise AssertionError for what must never happen: no test asks for it."""
        violations = self.page.evaluate("window.violations ?? []")
        assert (violations, self.errors, self.strays) == ([], [], [])

    def arrive(self) -> None:
        """Open the console, and wait for what there is to see."""
        self.page.goto(self.url)
        expect(self.page.locator("main h1").first).to_be_visible()

    def sign_in(self, token: str = ADMIN_TOKEN) -> None:
        self.arrive()
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()

    def go(self, place: str) -> None:
        """Go to a page, as by its link, and wait until there is no loading left."""
        self.page.goto(f"{self.url}#/{place}")
        name = place.partition("/")[0].partition("?")[0]
        expect(self.page.locator(f"nav a[data-page={name}]")).to_have_attribute("aria-current", "page")
        expect(self.page.locator(".loading")).to_have_count(0)

    def row(self, text: str) -> Locator:
        """Return the rows of the table in which a text is."""
        return self.page.locator("main tbody tr").filter(has_text=text)

    def dialog(self) -> Locator:
        return self.page.locator("dialog[open]")

    def stored(self) -> Any:
        """Return all that the browser keeps for the console."""
        return self.page.evaluate(
            "({local: {...localStorage}, session: {...sessionStorage}, cookies: document.cookie})"
        )
