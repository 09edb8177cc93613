"""A gateway with an admin API and nothing else that needs a store: raw clients of it, with tokens and certificates."""

import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.ports import free_port
from tests.trips.certificates import Authority
from tests.trips.reloading import WITHIN, Reloading, reloading
from tests.trips.wire import Client, Message, connected, eventually

WRITE_TOKEN = "a-token-of-those-who-may-change-things-32"
READ_TOKEN = "a-token-of-those-who-may-only-look-of-32"
TOKENS = {"token_file": "write-token", "read": {"token_file": "read-token"}}
API = "/admin/api/v1"


class Operated:
    """A gateway that serves operators. `tls` is what the client of a test connects with."""

    def __init__(self, gateway: Reloading, port: int) -> None:
        self.gateway = gateway
        self.port = port

    @asynccontextmanager
    async def client(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
        async with connected(self.port, tls) as client:
            yield client

    async def ask(
        self,
        method: str,
        path: str,
        *headers: str,
        token: str | None = WRITE_TOKEN,
        body: bytes | None = None,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> Message:
        """Return the answer to one request on a connection of its own."""
        async with self.client(tls) as client:
            return await client.ask(self.head(method, path, *headers, token=token, body=body, host=host))

    def head(
        self,
        method: str,
        path: str,
        *headers: str,
        token: str | None = WRITE_TOKEN,
        body: bytes | None = None,
        host: str = "127.0.0.1",
    ) -> bytes:
        """Return a request as bytes. A path that does not begin with a slash is below the API."""
        lines = [f"{method} {path if path.startswith('/') else f'{API}/{path}'} HTTP/1.1", f"Host: {host}:{self.port}"]
        lines += [] if token is None else [f"Authorization: Bearer {token}"]
        lines += [] if body is None else [f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1") + (body or b"")

    async def audited(self, event: str, number: int) -> list[dict[str, Any]]:
        """Return what the audit log says of an event, when it says so often enough."""
        file = self.gateway.directory / "audit.log"

        def found() -> list[dict[str, Any]]:
            lines = file.read_text().splitlines(keepends=True)
            return [line for line in map(json.loads, lines) if line["event"] == event]

        await eventually(lambda: len(found()) >= number, WITHIN)
        return found()


@asynccontextmanager
async def operated(directory: Path, admin: dict[str, Any] | None = None, **sections: Any) -> AsyncIterator[Operated]:
    """Run a gateway with this section `admin`; by default it has a token for each role."""
    write_tokens(directory)
    port = free_port()
    sections["admin"] = {**(TOKENS if admin is None else admin), "address": f"127.0.0.1:{port}"}
    sections["log"] = {"level": "info", "access": False, "audit": "audit.log"}
    async with reloading(directory, "", **sections) as gateway:
        yield Operated(gateway, port)


def write_tokens(directory: Path) -> None:
    for name, token in (("write-token", WRITE_TOKEN), ("read-token", READ_TOKEN)):
        (directory / name).write_text(token + "\n")


def operator(
    directory: Path,
    authority: Authority,
    issuer: Authority,
    common: str = "x",
    names: Sequence[x509.GeneralName] = (),
    *,
    lifetime: timedelta = timedelta(hours=1),
    usage: x509.ExtendedKeyUsage | None = None,
) -> ssl.SSLContext:
    """Return the TLS of an operator who trusts `authority` and has a certificate of `issuer` with these names."""
    tls = authority.client()
    tls.load_cert_chain(*key_pair(directory, issuer, common, names, lifetime=lifetime, usage=usage))
    return tls


def key_pair(
    directory: Path,
    issuer: Authority,
    common: str,
    names: Sequence[x509.GeneralName],
    *,
    lifetime: timedelta = timedelta(hours=1),
    usage: x509.ExtendedKeyUsage | None = None,
) -> tuple[Path, Path]:
    """Return the files of a certificate with these names, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + lifetime)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usage is not None:
        builder = builder.add_extension(usage, critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    certificate = builder.add_extension(identifier, critical=False).sign(issuer.key, hashes.SHA256())
    file = directory / f"operator-{x509.random_serial_number():x}.pem"
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    file.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file, file.with_suffix(".key")
