"""Several workers behind one admin address with TLS, as real processes on the event loop that operators have."""

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.admin.operating import operator
from tests.ports import free_port
from tests.trips.certificates import make_authority
from tests.trips.wire import Message, connected

PATIENCE = 60.0
GET = b"GET /admin/api/v1/me HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def crew(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run two workers, of which the first to be asked answers."""
    config = {
        "listen": [{"address": "127.0.0.1:0"}],
        "workers": 2,
        "reload": "signal",
        "admin": {
            "address": f"127.0.0.1:{port}",
            "tls": {"certificate": "tls.pem", "key": "tls.key", "client_ca": "operators.pem"},
            "certificates": ["DNS:alice.ops.example"],
            "rate_limit": {"requests": 1_000_000},
        },
        "log": {"audit": "audit.log", "access": False},
        "upstreams": {"app": {"targets": ["http://127.0.0.1:9"]}},
        "routes": [{"id": "all", "match": {"path": "/**"}, "upstream": "app", "access": "public"}],
    }
    file = directory / "gateway.yaml"
    file.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", str(file)), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def answers(port: int, tls: ssl.SSLContext) -> list[tuple[Message, bytes]]:
    """Ask at the same time, so that no worker is quick enough to take all; return what was said, and what certificate
    was shown with it."""

    async def one() -> tuple[Message, bytes]:
        async with connected(port, tls) as client:
            shown: bytes = client.writer.get_extra_info("ssl_object").getpeercert(True)
            return await client.ask(GET), shown

    return await asyncio.gather(*(one() for _ in range(30)))


def tellers(directory: Path, event: str) -> set[int]:
    """Return the workers that have told of an event in the audit log."""
    lines = map(json.loads, (directory / "audit.log").read_text().splitlines())
    return {line["worker"] for line in lines if line["event"] == event}


async def test_all_workers_take_operators_by_certificate_and_show_a_renewed_one(tmp_path: Path) -> None:
    authority, operators = make_authority(tmp_path), make_authority(tmp_path, "operators")
    alice, stranger = (
        operator(tmp_path, authority, operators, "x", [x509.DNSName(name)]) for name in ("alice.ops.example", "bob")
    )
    port = free_port()

    def renew() -> bytes:
        certificate, key = authority.issue("localhost")
        certificate.rename(tmp_path / "tls.pem")
        key.rename(tmp_path / "tls.key")
        return x509.load_pem_x509_certificate((tmp_path / "tls.pem").read_bytes()).public_bytes(Encoding.DER)

    first = renew()
    async with crew(tmp_path, port) as process, asyncio.timeout(PATIENCE):
        while not (tmp_path / "audit.log").exists() or tellers(tmp_path, "gateway_started") != {1, 2}:
            await asyncio.sleep(0.05)
        while tellers(tmp_path, "admin_refused") != {1, 2}:
            assert {(answer.status, shown) for answer, shown in await answers(port, stranger)} == {(401, first)}
        told = [json.loads(answer.body) for answer, _ in await answers(port, alice)]
        assert {(me["actor"], me["role"]) for me in told} == {("certificate DNS:alice.ops.example", "write")}
        second = renew()
        process.send_signal(signal.SIGHUP)
        while tellers(tmp_path, "config_reloaded") != {1, 2}:
            await asyncio.sleep(0.05)
        assert {(answer.status, shown) for answer, shown in await answers(port, alice)} == {(200, second)}
