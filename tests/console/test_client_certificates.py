"""An operator with a client certificate: signed in already, which a page of another site would like to use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.clients.processes import PATIENCE
from tests.console.another_site import ASKING, FORM, another_site
from tests.console.served import Served, serving
from tests.console.visitor import Visitor
from tests.trips.certificates import make_authority


@pytest.fixture(scope="module")
def secured(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str, Path, Path]]:
    """A gateway whose console is reached over TLS, where it is, and the certificate of an operator."""
    directory = tmp_path_factory.mktemp("secured")
    authority = make_authority(directory)
    server, operator = authority.issue("localhost"), authority.issue("alice.ops.example")
    tls = {"certificate": str(server[0]), "key": str(server[1]), "client_ca": str(authority.file)}
    with serving(directory, {"tls": tls, "certificates": ["DNS:alice.ops.example"]}) as served:
        yield served, served.gateway.admin_url.replace("http:", "https:"), *operator


@pytest.fixture
def recognised(browser: Browser, secured: tuple[Served, str, Path, Path]) -> Iterator[BrowserContext]:
    _, origin, certificate, key = secured
    context = browser.new_context(
        ignore_https_errors=True,
        locale="en-GB",
        client_certificates=[{"origin": origin, "certPath": certificate, "keyPath": key}],
    )
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


def test_who_has_a_certificate_is_signed_in(
    recognised: BrowserContext, secured: tuple[Served, str, Path, Path]
) -> None:
    visitor = Visitor(recognised.new_page(), secured[1] + "/admin/")
    visitor.arrive()
    expect(visitor.page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    expect(visitor.page.locator(".who")).to_contain_text("certificate DNS:alice.ops.example")
    expect(visitor.page.get_by_role("button", name="Sign out")).to_have_count(0)
    visitor.go("decisions")
    visitor.check()


def test_a_page_of_another_site_cannot_use_the_certificate(
    recognised: BrowserContext, secured: tuple[Served, str, Path, Path]
) -> None:
    served, origin, *_ = secured
    tokens = served.log_in("alice")
    api = origin + "/admin/api/v1"
    page = recognised.new_page()
    assert page.goto(api + "/me") is not None
    expect(page.locator("body")).to_contain_text("certificate DNS:alice.ops.example")
    with another_site(FORM.format(api=api)) as site:
        page.goto(site)
        assert set(page.evaluate(ASKING, api)) <= {"TypeError", "opaque"}
        with page.expect_response(api + "/revocations") as answer:
            page.evaluate("document.forms[0].submit()")
        assert answer.value.status == 403
    page.close()
    assert served.ask("/api/1", tokens["access_token"])[0] == 200
    assert served.gateway.events("admin_change") == []
