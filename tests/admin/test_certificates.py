"""Operators who prove themselves by a client certificate, at an admin API with TLS."""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.admin.certificates import Certificate, certificate_of
from tests.admin.operating import READ_TOKEN, TOKENS, WRITE_TOKEN, Operated, operated, operator
from tests.trips.certificates import Authority, make_authority
from tests.trips.reloading import WITHIN, replace
from tests.trips.wire import Client, Cut

ALICE = x509.UniformResourceIdentifier("spiffe://ops.example/alice")
BOB = x509.DNSName("Bob.ops.example")
NAMES: dict[str, Any] = {
    "certificates": ["URI:spiffe://ops.example/alice"],
    "read": {"certificates": ["DNS:bob.OPS.example"], "token_file": "read-token"},
}


class Ops:
    """A gateway with TLS for operators. `authority` is its own, `operators` that of operators."""

    def __init__(self, directory: Path, served: Operated, authority: Authority, operators: Authority) -> None:
        self.directory = directory
        self.served = served
        self.authority = authority
        self.operators = operators

    def tls(self, *names: x509.GeneralName, common: str = "x", issuer: Authority | None = None) -> ssl.SSLContext:
        """Return the TLS of an operator with a certificate of these names."""
        return operator(self.directory, self.authority, issuer or self.operators, common, names)

    async def role(self, tls: ssl.SSLContext, *headers: str, token: str | None = None, **more: Any) -> Any:
        """Return who somebody is; the status where nobody is told."""
        answer = await self.served.ask("GET", "me", *headers, token=token, tls=tls, **more)
        if answer.status != 200:
            return answer.status
        me = json.loads(answer.body)
        return me["actor"], me["role"]


@asynccontextmanager
async def ops(
    directory: Path, *, mode: str | None = None, names: Sequence[x509.GeneralName] = (), **changes: Any
) -> AsyncIterator[Ops]:
    authority, operators = make_authority(directory), make_authority(directory, "operators")
    certificate, key = authority.issue("localhost")
    replace(directory / "tls.pem", certificate.read_bytes())
    replace(directory / "tls.key", key.read_bytes())
    tls = {"certificate": "tls.pem", "key": "tls.key", "client_ca": "operators.pem"}
    tls |= {} if mode is None else {"client_certificates": mode}
    async with operated(directory, {**TOKENS, **NAMES, "tls": tls, **changes}) as served:
        served.gateway.clock.now = datetime.now(UTC).timestamp()  # certificates are good by the real one
        yield Ops(directory, served, authority, operators)


@pytest.fixture
async def required(tmp_path: Path) -> AsyncIterator[Ops]:
    async with ops(tmp_path) as gateway:
        yield gateway


@pytest.fixture
async def optional(tmp_path: Path) -> AsyncIterator[Ops]:
    async with ops(tmp_path, mode="optional") as gateway:
        yield gateway


# --- what a certificate is called


def peer(*names: tuple[str, str], subject: Sequence[Sequence[tuple[str, str]]] = ()) -> dict[str, Any]:
    """Return what `getpeercert` tells."""
    return {"subject": subject, "subjectAltName": names, "notAfter": "Jan  1 00:00:00 2030 GMT"}


def test_a_certificate_goes_by_its_alternative_names_and_its_common_name() -> None:
    told = peer(("DNS", "A.example"), ("URI", "urn:A"), ("email", "A@x"), subject=((("commonName", "A"),),))
    assert certificate_of(told) == Certificate(
        frozenset({"DNS:a.example", "URI:urn:A", "email:A@x", "CN:A"}), 1893456000
    )


def test_names_of_other_kinds_and_a_repeated_common_name_are_none() -> None:
    """Of two common names, an authority may have looked at the other one."""
    twice = ((("commonName", "alice"),), (("commonName", "mallory"),))
    told = peer(("IP Address", "10.0.0.1"), ("othername", "<unsupported>"), ("DirName", "x"), subject=twice)
    assert certificate_of(told) == Certificate(frozenset(), 1893456000)
    one_part = ((("commonName", "alice"), ("commonName", "mallory")),)
    assert certificate_of(peer(subject=one_part)) == Certificate(frozenset(), 1893456000)
    other = ((("organizationName", "alice"),), (("emailAddress", "alice@x"),))
    assert certificate_of(peer(subject=other)) == Certificate(frozenset(), 1893456000)


@pytest.mark.parametrize("told", [None, {}])
def test_without_a_certificate_there_is_none(told: dict[str, Any] | None) -> None:
    assert certificate_of(told) is None


# --- who is who


async def test_an_operator_with_a_certificate_needs_no_token(required: Ops) -> None:
    assert await required.role(required.tls(ALICE)) == ("certificate URI:spiffe://ops.example/alice", "write")
    assert await required.role(required.tls(BOB)) == ("certificate DNS:bob.ops.example", "read")
    alice, bob = required.tls(ALICE), required.tls(BOB, common="alice")
    assert (await required.served.ask("POST", "reload", token=None, tls=alice)).status == 202
    assert (await required.served.ask("POST", "reload", token=None, tls=bob)).status == 403
    [change] = await required.served.audited("admin_change", 1)
    assert change["actor"] == "certificate URI:spiffe://ops.example/alice"
    [refusal] = await required.served.audited("admin_refused", 1)
    assert (refusal["actor"], refusal["reason"]) == ("certificate DNS:bob.ops.example", "read_only")


async def test_a_certificate_that_names_no_operator_is_not_enough_but_a_token_is(required: Ops) -> None:
    stranger = required.tls(x509.DNSName("spiffe://ops.example/alice"), common="alice")
    assert await required.role(stranger) == 401
    assert await required.role(stranger, token=WRITE_TOKEN) == ("admin token", "write")
    [refusal] = await required.served.audited("admin_refused", 1)
    assert (refusal["actor"], refusal["reason"]) == (None, "unknown_certificate")


async def test_a_token_counts_before_the_certificate_of_the_same_request(required: Ops) -> None:
    alice = required.tls(ALICE)
    assert await required.role(alice, token=READ_TOKEN) == ("read token", "read")
    assert await required.role(alice, token="x" * 40) == 401
    assert await required.role(alice, "Authorization: Bearer ") == 400


async def refused(gateway: Ops, tls: ssl.SSLContext, token: str | None = None) -> bool:
    """Say whether not even a connection comes about."""
    try:
        await gateway.role(tls, token=token)
    except (ssl.SSLError, ConnectionError, Cut):
        return True
    return False


async def test_nobody_connects_without_a_certificate_of_the_authority_of_operators(required: Ops) -> None:
    other = make_authority(required.directory, "other")
    assert await refused(required, required.authority.client(), WRITE_TOKEN)
    assert await refused(required, required.tls(ALICE, issuer=other), WRITE_TOKEN)
    assert await refused(required, required.tls(ALICE, issuer=required.authority), WRITE_TOKEN)
    ended = operator(
        required.directory, required.authority, required.operators, "x", [ALICE], lifetime=timedelta(seconds=-60)
    )
    assert await refused(required, ended, WRITE_TOKEN)
    assert await required.role(required.tls(ALICE)) != 401


async def test_the_certificate_of_a_server_is_no_operators(required: Ops) -> None:
    """An authority that is also that of servers: whoever has the key of one could else pose as an operator."""
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    posing = operator(required.directory, required.authority, required.operators, "x", [ALICE], usage=server)
    assert await refused(required, posing)
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    honest = operator(required.directory, required.authority, required.operators, "x", [ALICE], usage=client)
    assert await required.role(honest) == ("certificate URI:spiffe://ops.example/alice", "write")


async def test_where_certificates_are_optional_a_token_does_as_well(optional: Ops) -> None:
    bare = optional.authority.client()
    assert await optional.role(bare) == 401
    assert await optional.role(bare, token=WRITE_TOKEN) == ("admin token", "write")
    assert await optional.role(optional.tls(ALICE)) == ("certificate URI:spiffe://ops.example/alice", "write")
    other = make_authority(optional.directory, "other")
    assert await refused(optional, optional.tls(ALICE, issuer=other), WRITE_TOKEN)


async def test_without_authorities_certificates_are_not_asked_for_and_nothing_is_proven(tmp_path: Path) -> None:
    tls = {"certificate": "tls.pem", "key": "tls.key"}
    async with ops(tmp_path, tls=tls, certificates=[], read={"token_file": "read-token"}) as gateway:
        assert await gateway.role(gateway.tls(ALICE)) == 401
        assert await gateway.role(gateway.authority.client(), token=WRITE_TOKEN) == ("admin token", "write")


async def test_plain_http_is_not_spoken_where_there_is_tls(required: Ops) -> None:
    with pytest.raises((Cut, ConnectionError)):
        await required.served.ask("GET", "me")
    assert await required.role(required.tls(ALICE)) != 401


async def test_headers_of_a_proxy_prove_nobody(optional: Ops) -> None:
    claimed = ("X-Forwarded-Client-Cert: URI=spiffe://ops.example/alice", "X-SSL-Client-S-DN: CN=alice")
    assert await optional.role(optional.authority.client(), *claimed) == 401


# --- browsers bring a certificate by themselves


async def test_csrf_a_page_of_another_site_cannot_use_the_certificate_of_a_browser(required: Ops) -> None:
    alice = required.tls(ALICE)
    for header in ("Origin: https://attacker.example", "Sec-Fetch-Site: cross-site", "Origin: null"):
        answer = await required.served.ask("POST", "reload", header, token=None, tls=alice)
        assert answer.status == 403
    downgraded = f"Origin: http://127.0.0.1:{required.served.port}"
    assert (await required.served.ask("POST", "reload", downgraded, token=None, tls=alice)).status == 403
    own = f"Origin: https://127.0.0.1:{required.served.port}"
    assert (await required.served.ask("POST", "reload", own, token=None, tls=alice)).status == 202


async def test_dns_rebinding_a_name_that_is_not_in_the_certificate_is_not_ours(required: Ops) -> None:
    alice = required.tls(ALICE)
    assert await required.role(alice, host="localhost") != 403
    assert await required.role(alice, "Sec-Fetch-Site: same-origin", host="attacker.example") == 403
    assert await required.role(alice, host="attacker.example", token=WRITE_TOKEN) == ("admin token", "write")


# --- files that change


async def test_a_renewed_certificate_is_shown_in_new_handshakes_and_open_connections_go_on(required: Ops) -> None:
    alice = required.tls(ALICE)
    async with required.served.client(alice) as client:
        before = _shown(client)
        certificate, key = required.authority.issue("localhost")
        replace(required.directory / "tls.pem", certificate.read_bytes())
        replace(required.directory / "tls.key", key.read_bytes())
        assert (await required.served.gateway.ask())["event"] == "config_reloaded"
        answer = await client.ask(required.served.head("GET", "me", token=None))
        assert (answer.status, answer.one("Connection")) == (200, None)
    async with required.served.client(alice) as client:
        assert _shown(client) != before
        assert (await client.ask(required.served.head("GET", "me", token=None))).status == 200


def _shown(client: Client) -> Any:
    return client.writer.get_extra_info("ssl_object").getpeercert(True)


async def test_an_authority_that_is_trusted_no_more_proves_nobody_on_connections_that_are_open(required: Ops) -> None:
    alice = required.tls(ALICE)
    other = make_authority(required.directory, "other")
    async with required.served.client(alice) as client, required.served.client(alice) as second:
        for each in (client, second):
            assert (await each.ask(required.served.head("GET", "me", token=None))).status == 200
        replace(required.directory / "operators.pem", other.file.read_bytes())
        assert (await required.served.gateway.ask())["event"] == "config_reloaded"
        answer = await client.ask(required.served.head("POST", "reload", token=None))
        assert (answer.status, answer.one("Connection")) == (401, "close")
        assert await client.closed(WITHIN) == b""
        answer = await second.ask(required.served.head("GET", "me"))
        assert (answer.status, answer.one("Connection")) == (200, "close")
    assert await refused(required, alice)
    assert await required.role(required.tls(ALICE, issuer=other)) != 401


async def test_a_name_that_is_taken_away_is_refused_on_connections_that_are_open(required: Ops) -> None:
    alice = required.tls(ALICE)
    async with required.served.client(alice) as client:
        assert (await client.ask(required.served.head("GET", "me", token=None))).status == 200
        config = json.loads(required.served.gateway.file.read_text())
        config["admin"]["certificates"] = ["CN:nobody"]
        replace(required.served.gateway.file, json.dumps(config).encode())
        assert (await required.served.gateway.ask())["event"] == "config_reloaded"
        assert (await client.ask(required.served.head("GET", "me", token=None))).status == 401


async def test_a_certificate_that_ends_is_refused_on_connections_that_are_open(required: Ops) -> None:
    async with required.served.client(required.tls(ALICE)) as client:
        assert (await client.ask(required.served.head("GET", "me", token=None))).status == 200
        required.served.gateway.clock.now = datetime.now(UTC).timestamp() + 7200
        assert (await client.ask(required.served.head("GET", "me", token=None))).status == 401


async def test_tls_is_not_added_or_removed_while_it_runs(required: Ops) -> None:
    config = json.loads(required.served.gateway.file.read_text())
    config["admin"] = {"token_file": "write-token", "address": config["admin"]["address"]}
    replace(required.served.gateway.file, json.dumps(config).encode())
    event = await required.served.gateway.ask()
    assert event["event"] == "config_refused"
    assert await required.role(required.tls(ALICE)) != 401


# --- everybody


async def test_a_usual_client_is_served_and_its_connection_kept(required: Ops) -> None:
    url = f"https://localhost:{required.served.port}/admin/api/v1/me"
    async with ClientSession(connector=TCPConnector(ssl=required.tls(ALICE))) as http:
        for _ in range(3):
            async with http.get(url) as response:
                assert (response.status, (await response.json())["role"]) == (200, "write")
        assert http.connector is not None
        assert len(http.connector._conns) == 1


async def test_the_end_of_the_certificate_is_a_metric(required: Ops) -> None:
    text = required.served.gateway.gateway.metrics.render(None)[0].decode()
    label = f'gateway_certificate_expiry_timestamp_seconds{{listener="127.0.0.1:{required.served.port}"}}'
    assert label in text
