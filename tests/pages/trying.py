"""What trying a page takes: commands of the gateway, configurations made whole, keys of an issuer, servers that run."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import main
from tests.pages.blocks import ROOT

PATIENCE = 60.0
PASSWORD = "correct-horse-battery"
GATEWAY = [sys.executable, "-m", "gateway"]

AROUND = """
state: {url: "redis://127.0.0.1:6379"}
listen: [{address: "127.0.0.1:8080"}]
authenticators: {staff: {type: jwt, issuer: "https://id.example.com", audiences: [api], jwks_file: jwks.json}}
upstreams: {app: {targets: ["http://127.0.0.1:8000"]}}
routes: [{id: all, match: {path: "/**"}, upstream: app}]
"""
"""What a configuration on a page may leave out."""

SESSIONS = """
issuer: https://gw.example
audiences: [api]
key_file: keys.json
clients: {web: {type: public}}
default_client: web
login: {users: {file: users}}
"""
"""What a section `sessions` may leave out."""

ADMIN = """
address: 127.0.0.1:9091
"""
"""What a section `admin` may leave out."""


def whole(text: str) -> str:
    """Return the configuration of a page with what it leaves out."""
    shown = yaml.safe_load(text)
    for section, rest in (("sessions", SESSIONS), ("admin", ADMIN)):
        if section in shown:
            shown[section] = {**yaml.safe_load(rest), **shown[section]}
    return str(yaml.safe_dump({**yaml.safe_load(AROUND), **shown}, sort_keys=False))


def issuer_at(directory: Path) -> None:
    """Make the key of an issuer and its key set."""
    run("token", "key", "--alg", "ES256", "--private", "issuer.pem", "--jwks", "jwks.json", at=directory)


def own_keys_at(directory: Path) -> None:
    """Make what a gateway with sessions needs: its keys, and alice."""
    run("keys", "create", "keys.json", at=directory)
    words = ["users", "add", "users", "alice", "--password-stdin", "--algorithm", "scrypt", "--scope", "orders:read"]
    run(*words, at=directory, stdin=PASSWORD + "\n")


def minted(at: Path, issuer: str, claims: Mapping[str, Any], typ: str = "at+jwt") -> str:
    own = {"iss", "iat", "exp", "nbf"}
    more = [f"--claim={name}={json.dumps(value)}" for name, value in claims.items() if name not in own]
    named = ["--issuer", issuer, "--audience", "replaced", "--subject", "replaced"]
    return run("token", "mint", "--key", "issuer.pem", "--typ", typ, *named, *more, at=at).strip()


def run(*arguments: str, at: Path, stdin: str = "", status: int = 0) -> str:
    """Return what a command of the gateway prints."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, chdir(at), redirect_stdout(said):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        assert main(arguments) == status, said.getvalue()
    return said.getvalue()


@contextmanager
def running(command: list[str], at: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a server; its log is in `log`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if command[0] == sys.executable else ""}
    with (at / "log").open("ab") as log:
        process = subprocess.Popen(command, cwd=at, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


def answer(url: str, headers: Mapping[str, str] | None = None, data: bytes | None = None) -> tuple[int, str]:
    """Return status and body, as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            request = urllib.request.Request(url, data, headers=dict(headers or {}))
            with urllib.request.urlopen(request, timeout=PATIENCE) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
