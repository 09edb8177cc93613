import asyncio
import datetime
import gzip
import ipaddress
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.mechanisms.base import BadSetting, FetchFailed
from gateway.mechanisms.fetch import ControlClient, control_tls
from tests.minting import make_key

LIMIT = 1000


class Server:
    """Answers by path. `requests` are those it saw."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.forever = asyncio.Event()
        self.elsewhere = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        kind, _, number = request.path.strip("/").partition("/")
        if kind == "never":
            await self.forever.wait()
        locations = {
            "redirect": "/body/3" if number == "1" else f"/redirect/{int(number or 0) - 1}",
            "away": f"{self.elsewhere}/body/3",
            "malformed": "http://[",
            "lost": "",
        }
        if kind in locations:
            return web.Response(status=302, headers={"Location": locations[kind]})
        return body(kind, int(number or 0))


def body(kind: str, number: int) -> web.Response:
    match kind:
        case "gzip":
            return web.Response(body=gzip.compress(b"x" * number), headers={"Content-Encoding": "gzip"})
        case "broken-gzip":
            return web.Response(body=b"junk", headers={"Content-Encoding": "gzip"})
        case "status":
            return web.Response(status=number, body=b"x")
    return web.Response(body=b"x" * number, headers={"Set-Cookie": "a=b; Path=/"})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(app) as running:
        yield server, str(running.make_url("")).rstrip("/")
        server.forever.set()


@pytest.fixture
async def client() -> AsyncIterator[ControlClient]:
    client = ControlClient()
    yield client
    await client.close()


async def test_a_document_is_fetched(client: ControlClient, server: tuple[Server, str]) -> None:
    assert await client.fetch(f"{server[1]}/body/3", LIMIT) == b"xxx"


async def test_a_client_can_be_used_again_after_it_was_closed(
    client: ControlClient, server: tuple[Server, str]
) -> None:
    await client.close()
    assert await client.fetch(f"{server[1]}/body/3", LIMIT) == b"xxx"
    await client.close()
    assert await client.fetch(f"{server[1]}/gzip/3", LIMIT) == b"xxx"


@pytest.mark.parametrize("path", ["body", "gzip"])
async def test_the_limit_is_for_what_comes_out(client: ControlClient, server: tuple[Server, str], path: str) -> None:
    assert len(await client.fetch(f"{server[1]}/{path}/{LIMIT}", LIMIT)) == LIMIT
    for size in (LIMIT + 1, 50_000_000):
        with pytest.raises(FetchFailed, match="larger than 1000 bytes"):
            await client.fetch(f"{server[1]}/{path}/{size}", LIMIT)


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 404, 500, 503])
async def test_any_answer_but_200_is_a_failure(client: ControlClient, server: tuple[Server, str], status: int) -> None:
    with pytest.raises(FetchFailed, match=f"answered {status}"):
        await client.fetch(f"{server[1]}/status/{status}", LIMIT)


async def test_a_few_redirects_are_followed(client: ControlClient, server: tuple[Server, str]) -> None:
    assert await client.fetch(f"{server[1]}/redirect/3", LIMIT) == b"xxx"
    with pytest.raises(FetchFailed, match="more than 3 times"):
        await client.fetch(f"{server[1]}/redirect/4", LIMIT)


async def test_a_redirect_leads_nowhere_else(client: ControlClient, server: tuple[Server, str]) -> None:
    """Server-side request forgery: another scheme, host or port."""
    behind, url = server
    port = url.rpartition(":")[2]
    for elsewhere in (
        f"https://127.0.0.1:{port}",
        f"http://localhost:{port}",
        "http://127.0.0.1:1",
        "file://",
        "//evil.example",
    ):
        behind.elsewhere = elsewhere
        with pytest.raises(FetchFailed):
            await client.fetch(f"{url}/away", LIMIT)
    assert {request.path for request in behind.requests} == {"/away"}


@pytest.mark.parametrize("path", ["lost", "malformed", "broken-gzip"])
async def test_an_answer_that_makes_no_sense_is_a_failure(
    client: ControlClient, server: tuple[Server, str], path: str
) -> None:
    with pytest.raises(FetchFailed):
        await client.fetch(f"{server[1]}/{path}", LIMIT)


async def test_a_slow_answer_is_a_failure(server: tuple[Server, str]) -> None:
    client = ControlClient(timeout=0.05)
    with pytest.raises(FetchFailed, match=r"did not answer within 0\.05 s"):
        await client.fetch(f"{server[1]}/never", LIMIT)
    await client.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "", "jwks", "ftp://127.0.0.1/", "http://[", "http://nowhere.invalid/"]
)
async def test_what_cannot_be_reached_is_a_failure(client: ControlClient, url: str) -> None:
    with pytest.raises(FetchFailed):
        await client.fetch(url, LIMIT)


async def test_no_cookies_are_kept(client: ControlClient, server: tuple[Server, str]) -> None:
    for _ in range(2):
        await client.fetch(f"{server[1]}/body/3", LIMIT)
    assert all("Cookie" not in request.headers for request in server[0].requests)


async def test_a_failure_does_not_show_credentials_of_the_url(
    client: ControlClient, server: tuple[Server, str]
) -> None:
    url = server[1].replace("//", "//user:secret@")
    for path in ("status/500", "body/5000", "redirect/9", "lost"):
        with pytest.raises(FetchFailed) as caught:
            await client.fetch(f"{url}/{path}?key=secret", LIMIT)
        assert "secret" not in str(caught.value)


async def test_only_known_authorities_are_trusted_and_one_can_be_added(client: ControlClient, tmp_path: Path) -> None:
    ca_file, tls = self_signed(tmp_path)
    server = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    trusting = ControlClient(ca_file=ca_file)
    running = TestServer(app, scheme="https")
    await running.start_server(ssl=tls)
    url = f"https://127.0.0.1:{running.port}/body/3"
    with pytest.raises(FetchFailed, match="certificate"):
        await client.fetch(url, LIMIT)
    assert await trusting.fetch(url, LIMIT) == b"xxx"
    await trusting.close()
    await running.close()


async def test_a_post_gives_any_answer_and_follows_nothing(client: ControlClient, server: tuple[Server, str]) -> None:
    behind, url = server
    answers = [
        await client.post(f"{url}{path}", b"credentials", {"X-Extra": "1"}, timeout_s=5, max_bytes=LIMIT)
        for path in ("/body/3", "/status/404", "/status/500", "/redirect/1")
    ]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"xxx"), (404, b"x"), (500, b"x"), (302, b"")]
    assert len(behind.requests) == 4
    assert all(request.headers["X-Extra"] == "1" and "Cookie" not in request.headers for request in behind.requests)
    assert all(request.headers["Connection"] == "close" for request in behind.requests)
    assert "xxx" not in repr(answers[0])


async def test_a_post_has_its_own_bounds(client: ControlClient, server: tuple[Server, str]) -> None:
    with pytest.raises(FetchFailed, match="larger than 1000 bytes"):
        await client.post(f"{server[1]}/gzip/50000000", b"", {}, timeout_s=5, max_bytes=LIMIT)
    with pytest.raises(FetchFailed, match=r"did not answer within 0\.05 s"):
        await client.post(f"{server[1]}/never", b"", {}, timeout_s=0.05, max_bytes=LIMIT)
    with pytest.raises(FetchFailed) as caught:
        await client.post("http://user:secret@127.0.0.1:1/?key=secret", b"", {}, timeout_s=5, max_bytes=LIMIT)
    assert "secret" not in str(caught.value)


def self_signed(directory: Path) -> tuple[Path, ssl.SSLContext]:
    key = make_key("ES256", "tls")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    today = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.private.public_key(), 1, today - day, today + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key.private, hashes.SHA256())
    ca_file, key_file = directory / "ca.pem", directory / "key.pem"
    ca_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca_file, key_file)
    return ca_file, context


def test_a_bad_file_of_authorities_is_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for name in ("missing.pem", "junk.pem"):
        with pytest.raises(BadSetting, match=name):
            control_tls(tmp_path / name)
