"""`gateway doctor` finds what is wrong around a configuration, says what to do, and changes nothing."""

import asyncio
import json
import os
import re
import resource
import sqlite3
import ssl
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.cli import main
from gateway.commands.doctoring import host
from gateway.commands.doctoring.certificates import certificates
from gateway.commands.doctoring.examination import ASKS, LOOKS, examined
from gateway.commands.doctoring.exposure import (
    admin_port,
    audiences,
    issuers,
    listeners,
    ops_port,
    public_routes,
    shared_secrets,
    trusted_proxies,
    weaknesses,
)
from gateway.commands.doctoring.files import secret_files, writable_files
from gateway.commands.doctoring.finding import Finding, Look, Patient
from gateway.commands.doctoring.key_sets import issuer_clock, key_sets
from gateway.commands.doctoring.sqlite import sqlite_store
from gateway.commands.doctoring.store import store
from gateway.commands.doctoring.upstreams import upstreams
from gateway.config.load import load_text
from tests.issuing import Issuer
from tests.minting import make_key
from tests.ports import free_port
from tests.state.redis_servers import RedisServer, server_of, wait_until

DOCS = Path(__file__).parents[2] / "docs"
SOURCE = Path(__file__).parents[2] / "gateway" / "commands"

ISSUER = "{type: jwt, issuer: https://id.test, audiences: [api], jwks_uri: https://id.test/keys}"
ROUTE = "{id: orders, match: {path: /orders/**}, upstream: orders}"


def patient(directory: Path, **sections: str) -> Patient:
    """Return one whose configuration is good but for the sections that a test gives."""
    usual = {
        "listen": "[{address: 127.0.0.1:8080}]",
        "ops": "{address: 127.0.0.1:9090}",
        "authenticators": f"{{main: {ISSUER}}}",
        "upstreams": "{orders: {targets: [http://127.0.0.1:9000]}}",
        "routes": f"[{ROUTE}]",
    }
    text = "".join(f"{name}: {value}\n" for name, value in (usual | sections).items())
    file = directory / "gateway.yaml"
    file.write_text(text)
    file.chmod(0o600)
    return Patient(load_text(text, {}, file=file).config, file)


def ahead(other: Patient, seconds: float) -> Patient:
    """Return one whose clock is ahead."""
    return Patient(other.config, other.file, lambda: time.time() + seconds)


def levels(found: list[Finding]) -> list[str]:
    return [finding.level for finding in found]


def only(found: list[Finding], level: str) -> Finding:
    """Return the one finding of a level."""
    [finding] = [each for each in found if each.level == level]
    assert bool(finding.to_do) == (level != "ok")
    return finding


# --- settings


@pytest.mark.parametrize(
    ("look", "sections", "level", "says"),
    [
        (listeners, {}, "ok", "127.0.0.1:8080"),
        (listeners, {"listen": "[{address: localhost:80}]"}, "ok", "localhost"),
        (listeners, {"listen": "[{address: unix:/run/g.sock}]"}, "ok", "unix:"),
        (listeners, {"listen": "[{address: 0.0.0.0:80}]"}, "advice", "without TLS"),
        (listeners, {"listen": "[{address: ':80'}]"}, "advice", "without TLS"),
        (ops_port, {}, "ok", "this host only"),
        (ops_port, {"ops": "null"}, "advice", "no ops address"),
        (ops_port, {"ops": "{address: 0.0.0.0:9090}"}, "advice", "without asking who comes"),
        (ops_port, {"ops": "{address: '[::]:9090'}"}, "advice", "without asking who comes"),
        (trusted_proxies, {}, "ok", "0"),
        (trusted_proxies, {"trusted_proxies": "[10.1.2.0/24, unix, fd00::/64]"}, "ok", "2"),
        (trusted_proxies, {"trusted_proxies": "[10.0.0.0/8]"}, "advice", "10.0.0.0/8"),
        (trusted_proxies, {"trusted_proxies": "[fd00::/32]"}, "advice", "fd00::/32"),
        (trusted_proxies, {"trusted_proxies": "[8.0.0.0/8]"}, "problem", "8.0.0.0/8"),
        (
            trusted_proxies,
            {"trusted_proxies": "[0.0.0.0/0]", "insecure": "[trust_every_proxy]"},
            "problem",
            "every client can forge",
        ),
        (issuers, {}, "ok", "https"),
        (
            issuers,
            {
                "authenticators": f"{{main: {ISSUER.replace('https://id.test/keys', 'http://id.test/keys')}}}",
                "insecure": "[http_issuer]",
            },
            "problem",
            "authenticators.main: its keys come over http",
        ),
        (
            issuers,
            {
                "authenticators": "{main: {type: jwt, issuer: http://id.test, audiences: [api], discovery: true}}",
                "insecure": "[http_issuer]",
            },
            "problem",
            "authenticators.main: its keys come over http",
        ),
        (audiences, {}, "ok", "main"),
        (
            audiences,
            {"authenticators": f"{{main: {ISSUER.replace('[api]', '[]')}}}", "insecure": "[no_audience]"},
            "problem",
            "for any other service",
        ),
        (weaknesses, {}, "ok", "no weakness"),
        (weaknesses, {"insecure": "[no_audience]"}, "advice", "no_audience"),
        (
            public_routes,
            {"routes": f"[{ROUTE}, {{id: p, match: {{path: /public/**}}, upstream: orders, access: public}}]"},
            "ok",
            "/public/**",
        ),
        (
            public_routes,
            {"routes": f"[{ROUTE}, {{id: p, match: {{path: /**}}, upstream: orders, access: public}}]"},
            "problem",
            "route p: everything below /** that no other route takes is open to everybody; orders are protected",
        ),
        (
            public_routes,
            {
                "routes": "[{id: p, match: {path: /a/**}, upstream: orders, access: public},"
                " {id: q, match: {path: '/a/{id}/secret'}, upstream: orders}]"
            },
            "advice",
            "route p: everything below /a/**",
        ),
    ],
)
def test_settings_that_let_others_come_close_are_found(
    look: Look, sections: dict[str, str], level: str, says: str, tmp_path: Path
) -> None:
    assert says in only(look(patient(tmp_path, **sections)), level).says


SESSIONS = {
    "state": "{url: 'sqlite:gateway.db'}",
    "sessions": "{issuer: https://g.test, audiences: [api], key_file: keys.json, clients: {web: {type: public}},"
    " default_client: web}",
}


@pytest.mark.parametrize(
    ("address", "level"),
    [("127.0.0.1:9091", "ok"), ("unix:/run/a.sock", "ok"), ("0.0.0.0:9091", "problem"), ("10.0.0.1:9091", "problem")],
)
def test_an_admin_api_that_others_can_reach_is_a_problem(address: str, level: str, tmp_path: Path) -> None:
    admin = f"{{address: '{address}', token_file: admin.token}}"
    assert levels(admin_port(patient(tmp_path, admin=admin))) == [level]
    protected = f"{{address: '{address}', token_file: admin.token, tls: {{certificate: a.pem, key: a.key}}}}"
    assert levels(admin_port(patient(tmp_path, admin=protected))) == ["ok"]


def test_who_can_check_an_hmac_can_make_it(tmp_path: Path) -> None:
    hmac = "{type: jwt, issuer: https://ISSUER, audiences: [api], algorithms: [HS256], secret_file: secret}"
    route = ROUTE.replace("upstream: orders", "upstream: orders, authenticators: [main]")
    for issuer, level in (("other.test", "advice"), ("id.test", "problem")):
        both = f"{{main: {ISSUER}, shared: {hmac.replace('ISSUER', issuer)}}}"
        found = shared_secrets(patient(tmp_path, authenticators=both, routes=f"[{route}]"))
        assert "authenticators.shared" in only(found, level).says
    assert shared_secrets(patient(tmp_path)) == []


# --- this host


def test_running_as_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for user, level in ((0, "advice"), (1000, "ok")):
        monkeypatch.setattr(os, "geteuid", lambda user=user: user)
        assert levels(host.user(patient(tmp_path))) == [level]


def test_fewer_files_than_connections_are_a_problem(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert levels(host.open_files(patient(tmp_path, limits="{connections: 100}"))) == ["ok"]
    if hard != resource.RLIM_INFINITY:
        found = host.open_files(patient(tmp_path, limits=f"{{connections: {hard}}}"))
        assert f"LimitNOFILE={hard + 256 + 64}" in only(found, "problem").to_do


def test_more_workers_than_processors_take_turns(tmp_path: Path) -> None:
    assert levels(host.processors(patient(tmp_path, workers="auto"))) == ["ok"]
    assert levels(host.processors(patient(tmp_path, workers="256"))) == ["advice"]


def secrets(directory: Path, mode: int) -> Patient:
    for name in ("keys.json", "users", "secret", "server.key"):
        (directory / name).write_text("x")
        (directory / name).chmod(mode)
    (directory / "server.pem").write_text("x")
    (directory / "server.pem").chmod(0o644)
    sections = SESSIONS | {
        "sessions": SESSIONS["sessions"].replace("key_file", "login: {users: {file: users}}, key_file"),
        "listen": "[{address: 127.0.0.1:8080, tls: {certificate: server.pem, key: server.key}}]",
        "authenticators": "{main: {type: jwt, issuer: https://i.test, audiences: [api], algorithms: [HS256],"
        " secret_file: secret}}",
    }
    return patient(directory, **sections)


@pytest.mark.parametrize(("mode", "level"), [(0o600, "ok"), (0o400, "ok"), (0o640, "advice"), (0o644, "problem")])
def test_a_secret_that_others_can_read_is_found(mode: int, level: str, tmp_path: Path) -> None:
    found = secret_files(secrets(tmp_path, mode))
    assert levels(found) == [level] * 4
    named = {re.split(r"[: ]", finding.says)[0] for finding in found}
    assert named == {
        "sessions.key_file",
        "sessions.login.users.file",
        "authenticators.main.secret_file",
        "listen[0].tls.key",
    }


def test_files_that_others_can_write_are_found(tmp_path: Path) -> None:
    examined_one = secrets(tmp_path, 0o600)
    assert levels(writable_files(examined_one)) == ["ok"]
    examined_one.file.chmod(0o660)
    (tmp_path / "server.pem").chmod(0o666)
    assert "the configuration" in only(writable_files(examined_one), "advice").says
    assert "listen[0].tls.certificate" in only(writable_files(examined_one), "problem").says


# --- certificates


def certificate(directory: Path, begins: float = -1, ends: float = 90) -> ssl.SSLContext:
    """Write one for localhost that is its own authority, good between days from now; return the TLS of its server."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "server.pem", directory / "server.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@pytest.mark.parametrize(
    ("begins", "ends", "level", "says"),
    [
        (-1, 90, "ok", "good for 90 days"),
        (-90, 3, "advice", "good for 3 days"),
        (-90, -3, "problem", "ended on"),
        (3, 90, "problem", "begins on"),
    ],
)
def test_the_dates_of_a_certificate_are_looked_at(
    begins: float, ends: float, level: str, says: str, tmp_path: Path
) -> None:
    certificate(tmp_path, begins, ends)
    sections = {
        "listen": "[{address: 127.0.0.1:8080, tls: {certificate: server.pem, key: server.key, client_ca: server.pem}}]",
        "fetch": "{ca: none.pem}",
    }
    finding = only(certificates(patient(tmp_path, **sections)), level)
    assert says in finding.says
    assert "listen[0].tls.certificate (server.pem)" in finding.says


# --- key sets


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(make_key("EdDSA", "k1")).running() as running:
        yield running


def trusting(directory: Path, issuer: Issuer, keys: str = "discovery: true") -> Patient:
    main = f"{{main: {{type: jwt, issuer: '{issuer.url}', audiences: [api], {keys}}}}}"
    return patient(directory, authenticators=main, insecure="[http_issuer]", fetch="{timeout: 2s}")


async def test_the_keys_of_an_issuer_are_counted(issuer: Issuer, tmp_path: Path) -> None:
    for keys in ("discovery: true", f"jwks_uri: '{issuer.jwks_uri}'"):
        found = await key_sets(trusting(tmp_path, issuer, keys))
        assert only(found, "ok").says == "authenticators.main: 1 of 1 keys are for its algorithms"


async def test_keys_for_other_algorithms_are_a_problem(issuer: Issuer, tmp_path: Path) -> None:
    finding = only(await key_sets(trusting(tmp_path, issuer, "discovery: true, algorithms: [ES256]")), "problem")
    assert "0 of 1 keys are for its algorithms; the issuer's are for EdDSA" in finding.says


async def test_a_bad_key_beside_good_ones_is_told(issuer: Issuer, tmp_path: Path) -> None:
    document = json.loads(issuer.document)
    document["keys"].append({"kty": "RSA", "kid": "bad", "n": "AQ", "e": "AQAB"})
    issuer.document = json.dumps(document).encode()
    assert "1 of 2 keys" in only(await key_sets(trusting(tmp_path, issuer)), "advice").says


async def test_an_issuer_that_is_down_or_answers_something_else_is_a_problem(issuer: Issuer, tmp_path: Path) -> None:
    asked = trusting(tmp_path, issuer)
    issuer.document = b"<html>"
    assert "/jwks is not a JWK set" in only(await key_sets(asked), "problem").says
    issuer.metadata["issuer"] = "https://other.test"
    assert "metadata of another issuer" in only(await key_sets(asked), "problem").says
    issuer.status = 500
    assert "answered 500" in only(await key_sets(asked), "problem").says
    elsewhere = trusting(tmp_path, issuer, f"jwks_uri: 'http://127.0.0.1:{free_port()}/keys?secret=hidden'")
    finding = only(await key_sets(elsewhere), "problem")
    assert "cannot be had" in finding.says
    assert "hidden" not in finding.says


@pytest.mark.parametrize(("off", "level"), [(0, "ok"), (4, "advice"), (-4, "advice"), (60, "problem")])
async def test_a_clock_that_is_not_the_issuers_is_found(off: int, level: str, issuer: Issuer, tmp_path: Path) -> None:
    asked = trusting(tmp_path, issuer)
    found = await issuer_clock(ahead(asked, off))
    assert "authenticators.main" in only(found, level).says


async def test_an_issuer_that_is_down_says_nothing_of_clocks(tmp_path: Path) -> None:
    down = Issuer()
    down.url = f"http://127.0.0.1:{free_port()}"
    assert await issuer_clock(trusting(tmp_path, down)) == []


# --- the store


async def test_being_without_a_store_is_told(tmp_path: Path) -> None:
    assert levels(await store(patient(tmp_path))) == ["advice"]


def by_name(found: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in found}


def url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def redis_findings(directory: Path, place: str, **settings: str) -> list[Finding]:
    more = "".join(f", {name}: {value}" for name, value in settings.items())
    return await store(patient(directory, state=f"{{url: '{place}'{more}}}"))


async def test_a_redis_that_keeps_nothing_is_found_and_left_as_it_was(tmp_path: Path) -> None:
    options = {"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"}
    with server_of(tmp_path / "redis", **options) as server:
        found = await redis_findings(tmp_path, url(server))
        assert by_name(found) == {
            "redis_tls": "ok",
            "store": "ok",
            "store_clock": "ok",
            "redis_version": "ok",
            "redis_eviction": "problem",
            "redis_persistence": "advice",
            "redis_replicas": "advice",
        }
        assert server.run("DBSIZE") == 0
        server.run("CONFIG", "SET", "maxmemory-policy", "noeviction")
        server.run("CONFIG", "SET", "appendonly", "yes")
        found = await redis_findings(tmp_path, url(server))
        assert (by_name(found)["redis_eviction"], by_name(found)["redis_persistence"]) == ("ok", "ok")
        server.run("CONFIG", "SET", "maxmemory", "0")
        assert by_name(await redis_findings(tmp_path, url(server)))["redis_eviction"] == "advice"
        slow = patient(tmp_path, state=f"{{url: '{url(server)}'}}")
        for off, level in ((3, "advice"), (60, "problem")):
            assert by_name(await store(ahead(slow, off)))["store_clock"] == level


async def test_a_redis_that_cannot_write_to_its_disk_is_a_problem(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as server:
        (tmp_path / "redis" / "dump.rdb").mkdir()  # where the file would be
        server.run("SET", "key", "value")
        server.run("BGSAVE")

        def has_failed() -> bool:
            return bool(server.run("INFO", "persistence")["rdb_last_bgsave_status"] == "err")

        await asyncio.to_thread(wait_until, has_failed)
        assert by_name(await redis_findings(tmp_path, url(server)))["redis_persistence"] == "problem"


async def test_a_redis_with_a_replica_is_fine(tmp_path: Path) -> None:
    with server_of(tmp_path / "first") as first, server_of(tmp_path / "second", replicaof=f"127.0.0.1 {first.port}"):
        async with asyncio.timeout(30):
            while by_name(await redis_findings(tmp_path, url(first)))["redis_replicas"] != "ok":
                await asyncio.sleep(0.1)


async def test_a_redis_that_tells_nothing_of_itself_is_asked_of_the_operator(tmp_path: Path) -> None:
    with server_of(tmp_path / "redis") as server:
        server.run("ACL", "SETUSER", "default", "-info")
        found = by_name(await redis_findings(tmp_path, url(server)))
        names = ("redis_version", "redis_eviction", "redis_persistence")
        assert [found[name] for name in names] == ["advice"] * 3


async def test_a_redis_that_cannot_be_reached_or_refuses_us_is_a_problem(tmp_path: Path) -> None:
    gone = await redis_findings(tmp_path, f"redis://:topsecret@127.0.0.1:{free_port()}")
    assert "topsecret" not in only(gone, "problem").says
    with server_of(tmp_path / "redis") as server:
        server.run("CONFIG", "SET", "requirepass", "right")
        refused = await redis_findings(tmp_path, url(server), password="wrongsecret")
        assert "wrongsecret" not in only(refused, "problem").says
    found = await redis_findings(tmp_path, "rediss://127.0.0.1:1", ca="none.pem")
    assert "TLS files" in only(found, "problem").says


async def test_a_redis_without_tls_on_another_host_is_told(tmp_path: Path) -> None:
    found = await redis_findings(tmp_path, "redis://redis.invalid", timeout="10ms")
    assert by_name(found)["redis_tls"] == "advice"


def test_the_disk_of_sqlite_is_looked_at_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state" / "gateway.db"
    assert by_name(sqlite_store(file)) == {"sqlite_directory": "ok", "sqlite_disk": "ok", "sqlite_file": "ok"}
    assert list(tmp_path.iterdir()) == []
    usage = type("Usage", (), {})()
    for free, level in ((512 * 1024**2, "advice"), (1024**2, "problem")):
        usage.free = free
        monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
        assert by_name(sqlite_store(file))["sqlite_disk"] == level


def test_a_network_file_system_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.doctoring.sqlite.network_file_system", lambda path: "nfs4")
    [told] = [each for each in sqlite_store(tmp_path / "gateway.db") if each.level == "problem"]
    assert "of type nfs4" in told.says


def made(file: Path) -> sqlite3.Connection:
    """Return an open connection to a new file, as the gateway would have it."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode = WAL")
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 9999)"
    connection.execute(f"CREATE TABLE t AS {numbers} SELECT x FROM n")
    connection.commit()
    file.chmod(0o600)
    return connection


def test_a_file_of_sqlite_is_read_and_left_as_it_was_in_use_or_not(tmp_path: Path) -> None:
    connection = made(tmp_path / "gateway.db")
    for is_open in (True, False):
        before = {each: each.read_bytes() for each in everything(tmp_path)}
        assert len(before) == (3 if is_open else 1)
        assert by_name(sqlite_store(tmp_path / "gateway.db"))["sqlite_file"] == "ok"
        after = {each: each.read_bytes() for each in everything(tmp_path)}
        assert after.keys() == before.keys()
        assert all(after[each] == before[each] for each in before if each.suffix != ".db-shm")  # it counts readers
        connection.close()


def test_a_file_of_sqlite_that_is_not_whole_is_a_problem(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    made(damaged).close()
    content = bytearray(damaged.read_bytes())
    content[4096 * 3 : 4096 * 5] = os.urandom(4096 * 2)
    damaged.write_bytes(content)
    assert by_name(sqlite_store(damaged))["sqlite_file"] == "problem"
    (tmp_path / "text.db").write_text("no database " * 1000)
    (tmp_path / "text.db").chmod(0o600)
    assert by_name(sqlite_store(tmp_path / "text.db"))["sqlite_file"] == "problem"


def test_a_file_of_sqlite_that_others_can_read_or_replace_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "gateway.db"
    made(file).close()
    assert by_name(sqlite_store(file))["sqlite_directory"] == "ok"
    file.chmod(0o644)
    assert by_name(sqlite_store(file))["sqlite_directory"] == "problem"
    file.chmod(0o600)
    tmp_path.chmod(0o777)
    assert by_name(sqlite_store(file))["sqlite_directory"] == "problem"


def test_a_directory_that_we_cannot_write_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert by_name(sqlite_store(tmp_path / "gateway.db"))["sqlite_directory"] == "problem"


# --- upstreams


@asynccontextmanager
async def listening(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_upstreams_are_reached(tmp_path: Path) -> None:
    async with listening() as port:
        asked = patient(tmp_path, upstreams=f"{{orders: {{targets: [http://127.0.0.1:{port}]}}}}")
        assert only(await upstreams(asked), "ok").says == f"upstreams.orders: http://127.0.0.1:{port} can be reached"


async def test_an_upstream_on_a_unix_socket_is_reached(tmp_path: Path) -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    server = await asyncio.start_unix_server(hang_up, tmp_path / "a.sock")
    asked = patient(tmp_path, upstreams=f"{{orders: {{targets: ['unix:{tmp_path}/a.sock']}}}}")
    async with server:
        assert levels(await upstreams(asked)) == ["ok"]
    (tmp_path / "a.sock").unlink(missing_ok=True)
    assert "No such file" in only(await upstreams(asked), "problem").says


async def test_an_upstream_that_is_down_or_unknown_is_a_problem(tmp_path: Path) -> None:
    targets = f"[http://127.0.0.1:{free_port()}, http://nobody.invalid]"
    found = await upstreams(patient(tmp_path, upstreams=f"{{orders: {{targets: {targets}}}}}"))
    assert [(each.level, each.says.split(" ", 2)[2]) for each in found] == [
        ("problem", "cannot be reached: Connection refused"),
        ("problem", "nobody knows the name nobody.invalid"),
    ]


@pytest.mark.parametrize(
    ("ends", "tls", "expected", "says"),
    [
        (90, "{ca: server.pem}", [("upstreams", "ok"), ("upstream_certificates", "ok")], "good for 90 days"),
        (3, "{ca: server.pem}", [("upstreams", "ok"), ("upstream_certificates", "advice")], "good for 3 days"),
        (-3, "{ca: server.pem}", [("upstreams", "problem")], "no TLS: certificate has expired"),
        (90, "{ca: server.pem, server_name: other.test}", [("upstreams", "problem")], "no TLS: Hostname mismatch"),
        (90, "{}", [("upstreams", "problem")], "no TLS: self-signed certificate"),
    ],
)
async def test_the_certificate_of_an_upstream_is_looked_at(
    ends: float, tls: str, expected: list[tuple[str, str]], says: str, tmp_path: Path
) -> None:
    async with listening(certificate(tmp_path, -90, ends)) as port:
        text = f"{{orders: {{targets: [https://127.0.0.1:{port}], tls: {tls}}}}}"
        found = await upstreams(patient(tmp_path, upstreams=text))
    assert [(each.name, each.level) for each in found] == expected
    assert says.replace("-", " ") in found[-1].says.replace("-", " ")  # versions of OpenSSL differ in this


# --- the command


def everything(directory: Path) -> Iterator[Path]:
    return (file for file in directory.rglob("*") if stat.S_ISREG(file.stat().st_mode))


def test_nothing_is_changed_and_no_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sections = {
        "state": f"{{url: 'redis://user:urlsecret@127.0.0.1:{free_port()}', timeout: 100ms}}",
        "upstreams": f"{{orders: {{targets: [http://127.0.0.1:{free_port()}]}}}}",
        "authenticators": "{main: {type: jwt, issuer: https://i.test, audiences: [api], algorithms: [HS256],"
        " secret_file: secret}}",
    }
    (tmp_path / "secret").write_text("filesecret" * 10)
    file = patient(tmp_path, **sections).file
    before = {each: each.read_bytes() for each in everything(tmp_path)}
    for words in ([], ["--format", "json"]):
        assert main(["doctor", "--config", str(file), *words]) == 1
        printed = capsys.readouterr()
        assert "urlsecret" not in printed.out + printed.err
        assert "filesecret" not in printed.out + printed.err
    assert {each: each.read_bytes() for each in everything(tmp_path)} == before


def test_the_worst_stands_at_the_end_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = patient(tmp_path, trusted_proxies="[8.0.0.0/8]", ops="{address: 0.0.0.0:9090}").file
    assert main(["doctor", "--config", str(file), "--offline"]) == 1
    lines = capsys.readouterr().out.splitlines()
    words = [line.split()[0] for line in lines if line and not line.startswith((" ", "problems"))]
    assert words == sorted(words, key=["ok", "advice", "problem"].index)
    assert lines[-3:] == [
        "         -> name the addresses of your proxies in trusted_proxies, and nothing else",
        "",
        f"problems: 1, advice: {words.count('advice')}, ok: {words.count('ok')}",
    ]


def test_without_a_problem_the_exit_status_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = patient(tmp_path, limits="{connections: 100}").file
    assert main(["doctor", "--config", str(file), "--offline", "--format", "json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert {each["level"] for each in found} <= {"ok", "advice"}
    assert all(each.keys() == {"name", "level", "says", "to_do"} for each in found)


def test_a_configuration_that_cannot_be_used_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = patient(tmp_path, limits="{connections: 100}", **SESSIONS).file
    assert main(["doctor", "--config", str(file), "--offline"]) == 1
    assert "sessions.key_file: keys.json cannot be read" in capsys.readouterr().out
    file.write_text("listen: nowhere\n")
    assert main(["doctor", "--config", str(file), "--format", "json"]) == 1
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} == {"configuration"}


async def test_offline_nobody_is_asked(issuer: Issuer, tmp_path: Path) -> None:
    await examined(trusting(tmp_path, issuer), offline=True)
    assert issuer.requests == []
    found = await examined(trusting(tmp_path, issuer))
    assert issuer.requests
    assert {"store", "key_sets", "issuer_clock", "upstreams"} <= {each.name for each in found}


def test_every_finding_is_documented_and_no_other() -> None:
    sources = [SOURCE / "doctor.py", *(SOURCE / "doctoring").glob("*.py")]
    text = "".join(source.read_text() for source in sources)
    names = set(re.findall(r'(?:fine|advice|problem|make|judged)\)?\(\s*"([a-z_]+)"', text))
    rows = re.findall(r"(?m)^\| `([a-z_]+)` \| (.+?) \|", (DOCS / "doctor.md").read_text())
    assert {name for name, _ in rows} == names
    assert len(names) > len(LOOKS) + len(ASKS) - 1
    assert {level for _, said in rows for level in said.split(", ")} == {"problem", "advice"}
