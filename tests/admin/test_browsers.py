"""A real browser with a client certificate, which it brings to whatever page makes it ask."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import BrowserContext, async_playwright

from tests.admin.operating import API, key_pair
from tests.admin.test_certificates import ALICE, Ops, ops
from tests.console.served import chromium
from tests.ports import free_port

WITHIN = 60_000
"""Milliseconds for what must come about, on a machine that has other things to do."""

ATTACK = """
<!doctype html><title>attack</title><iframe name="sink"></iframe>
<form method="post" enctype="text/plain" target="sink" action="{api}/reload"><input name="x" value="y"></form>
<script>
  async function attempt() {{
    const json = {{"Content-Type": "application/json"}};
    const tries = [
      fetch("{api}/reload", {{method: "POST", credentials: "include", mode: "no-cors"}}),
      fetch("{api}/reload", {{method: "POST", credentials: "include", mode: "no-cors", body: "x"}}),
      fetch("{api}/reload", {{method: "POST", credentials: "include", headers: json, body: "{{}}"}}),
      fetch("{api}/sessions/x", {{method: "DELETE", credentials: "include"}}),
      fetch("{api}/me", {{credentials: "include"}}).then((answer) => answer.text()),
      fetch("{api}/me", {{credentials: "include", mode: "no-cors"}}),
      navigator.sendBeacon("{api}/reload", new Blob(["{{}}"], {{type: "application/json"}})),
    ];
    document.forms[0].submit();
    const results = await Promise.allSettled(tries);
    return results.map((each) => (each.status === "fulfilled" ? String(each.value?.type ?? each.value) : "refused"));
  }}
</script>
"""


@asynccontextmanager
async def page_at(text: str) -> AsyncIterator[str]:
    """Serve a page of somebody else's site."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def browsing(gateway: Ops) -> AsyncIterator[BrowserContext]:
    """Give a browser whose user has a certificate for the gateway."""
    certificate, key = key_pair(gateway.directory, gateway.operators, "alice", [ALICE])
    origin = f"https://localhost:{gateway.served.port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        context = await browser.new_context(
            ignore_https_errors=True,
            client_certificates=[{"origin": origin, "certPath": certificate, "keyPath": key}],
        )
        context.set_default_timeout(WITHIN)
        yield context
        await context.close()
        await browser.close()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Ops]:
    async with ops(tmp_path) as gateway:
        yield gateway


async def test_an_operator_with_a_certificate_is_signed_in_at_the_console(gateway: Ops) -> None:
    async with browsing(gateway) as context:
        page = await context.new_page()
        await page.goto(f"https://localhost:{gateway.served.port}/admin/")
        await page.get_by_text("certificate URI:spiffe://ops.example/alice").wait_for()


async def test_csrf_no_page_of_another_site_can_use_the_certificate(gateway: Ops) -> None:
    api = f"https://localhost:{gateway.served.port}{API}"
    async with page_at(ATTACK.format(api=api)) as attacker, browsing(gateway) as context:
        page = await context.new_page()
        await page.goto(attacker)
        results = await page.evaluate("attempt()")
        assert results == 6 * ["refused"] + ["true"]  # whether a beacon arrives, its page never hears
        refused = await gateway.served.audited("admin_refused", 7)
        assert {each["reason"] for each in refused} == {"cross_site_request"}
        assert {each["method"] for each in refused} >= {"POST", "OPTIONS", "GET"}
        assert gateway.served.gateway.events("admin_change") == []
        await page.goto(f"{api}/me")  # typed, or from a bookmark: this is the operator
        assert "spiffe://ops.example/alice" in await page.content()


async def test_clickjacking_nothing_is_shown_in_a_frame_of_another_site(gateway: Ops) -> None:
    url = f"https://localhost:{gateway.served.port}"
    frames = f'<iframe src="{url}/admin/"></iframe><iframe src="{url}{API}/me"></iframe>'
    async with page_at(frames) as attacker, browsing(gateway) as context:
        page = await context.new_page()
        await page.goto(attacker)
        assert len(page.frames) == 3
        for frame in page.frames[1:]:
            assert "alice" not in await frame.content()
            assert frame.url.startswith(("chrome-error:", "about:blank"))
