"""Gateways as real processes: made with the commands that operators use, and gone when the tests are gone."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from tests.ports import free_port

PASSWORD = "correct horse battery staple"
SECRET = "a random secret, and of more than 32 characters"
BACKEND = "Basic " + b64encode(f"backend:{quote_plus(SECRET)}".encode()).decode()
"""How the client `backend` proves who it is."""
ADMIN_TOKEN = "an-admin-token-of-32-characters-or-more"
AUDIENCE = "https://api.example"
SCOPE = "orders:read orders:write"

PATIENCE = 60.0
"""Seconds for what must come about, on a machine that has other things to do."""

LINES = 40
"""Of a log are shown."""

_SHELL = """
log=$1; shift
"$@" >"$log" 2>&1 </dev/null & child=$!
echo $child
read -r signal || signal=KILL
kill -s "$signal" $child
wait $child
echo $?
"""
"""Sends the signal that it is told, or SIGKILL when whoever started it is gone, and says how the child ended."""


@dataclass
class GatewayProcess:
    """`gateway serve` that has been started."""

    name: str
    url: str
    ops_url: str
    admin_url: str
    log: Path
    shell: "subprocess.Popen[bytes]"
    pid: int
    is_over: bool = False

    def readiness(self) -> int:
        """Return the status of `/readyz`; 0 while nobody answers."""
        return status_at(self.ops_url + "/readyz")

    def until_ready(self) -> "GatewayProcess":
        self.wait_until(lambda: self.readiness() == 200, "ready")
        return self

    def wait_until(self, is_so: Callable[[], object], what: str = "so") -> None:
        """Wait for something. Raises AssertionError, with the log, when it does not come about."""
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"the gateway {self.name} is not {what}: {self.text()}"
            time.sleep(0.05)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all labels but these."""
        with urllib.request.urlopen(self.ops_url + "/metrics", timeout=PATIENCE) as response:
            lines = response.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.partition("{")[0].partition(" ")[0] == name and all(each in line for each in wanted)
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what the log says of an event."""
        lines = [json.loads(line) for line in self.text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def text(self) -> str:
        return self.log.read_text() if self.log.is_file() else ""  # a pipe would never end

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        self._end("KILL")

    def stop(self) -> int:
        """Tell it to stop, and return the exit status."""
        return self._end("TERM")

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, name: str) -> int:
        if self.is_over:
            return 0
        self.is_over = True
        try:
            output, _ = self.shell.communicate(f"{name}\n".encode(), timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)  # the shell has not waited for it yet, so nobody else has its number
            output, _ = self.shell.communicate()
        return int(output)


def make_house(directory: Path) -> None:
    """Make what gateways need, with the commands that operators use: keys, a user, a token of administrators."""
    directory.mkdir()
    run(directory, "keys", "create", "keys.json")
    run(
        *(directory, "users", "add", "users", "alice", "--password-stdin", "--algorithm", "scrypt"),
        *("--scope", SCOPE),
        typed=PASSWORD,
    )
    (directory / "admin-token").write_text(ADMIN_TOKEN)


def run(directory: Path, *words: str, typed: str = "") -> str:
    """Run a command of the gateway, and return what it prints."""
    command = [sys.executable, "-m", "gateway", *words]
    done = subprocess.run(
        command, cwd=directory, input=typed, capture_output=True, text=True, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Fleet:
    """Gateways that share keys, users and a store.

    `house` is what make_house has made, `changes` are top-level sections of the configuration.
    """

    directory: Path
    house: Path
    state: Mapping[str, Any]
    upstream: str
    issuer: str = "https://gw.example"
    changes: Mapping[str, Any] = field(default_factory=dict)
    gateways: list[GatewayProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        shutil.copytree(self.house, self.directory)  # with the modes of the files

    def run(self, *words: str) -> str:
        """Run a command of the gateway in the directory, and return what it prints."""
        return run(self.directory, *words)

    def launch(self, port: int | None = None, **changes: Any) -> GatewayProcess:
        """Start a gateway, and do not wait for it. `changes` are for it alone; `tls` is that of its listener."""
        name = f"gateway{len(self.gateways) + 1}"
        ports = [port or free_port(), free_port(), free_port()]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        config = {**self._config(*addresses), **self.changes, **changes}
        if config["admin"] is not None:
            config["admin"] = {"address": addresses[2], **config["admin"]}
        if "tls" in config:
            config["listen"] = [{"address": addresses[0], "tls": config.pop("tls")}]
        file, log = self.directory / f"{name}.yaml", self.directory / f"{name}.log"
        file.write_text(json.dumps(config))  # JSON is YAML
        log.touch()
        command = ["sh", "-c", _SHELL, "sh", str(log), sys.executable, "-m", "gateway", "serve", str(file)]
        shell = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
        )
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        scheme = "https" if "tls" in config["listen"][0] else "http"
        urls = f"{scheme}://{addresses[0]}", f"http://{addresses[1]}", f"http://{addresses[2]}"
        gateway = GatewayProcess(name, *urls, log, shell, pid)
        self.gateways.append(gateway)
        return gateway

    def start(self, port: int | None = None, **changes: Any) -> GatewayProcess:
        return self.launch(port, **changes).until_ready()

    def pair(self) -> tuple[GatewayProcess, GatewayProcess]:
        """Start two at the same time."""
        first, second = self.launch(), self.launch()
        return first.until_ready(), second.until_ready()

    def stop(self) -> None:
        for gateway in self.gateways:
            gateway.kill()

    def logs(self) -> str:
        """Return the last lines of all logs."""
        tails = {each.name: "\n".join(each.text().splitlines()[-LINES:]) for each in self.gateways}
        return "\n".join(f"--- {name}\n{tail}" for name, tail in tails.items())

    def _config(self, address: str, ops: str, admin: str) -> dict[str, Any]:
        return {
            "listen": [{"address": address}],
            "ops": {"address": ops},
            "admin": {"address": admin, "token_file": "admin-token"},
            "state": dict(self.state),
            "sessions": sessions(self.issuer),
            "authenticators": {"own": {"type": "issued"}},
            "inject": [{"header": "X-User", "claim": "sub"}],
            "upstreams": {"app": {"targets": [self.upstream]}},
            "routes": [
                {"id": "api", "match": {"path": "/api/**"}, "upstream": "app"},
                {
                    "id": "open",
                    "match": {"path": "/open/**"},
                    "upstream": "app",
                    "revocation": {"when_stale": "open"},
                },
                {
                    "id": "orders",
                    "match": {"path": "/orders/**"},
                    "upstream": "app",
                    "require": [{"scopes": ["orders:write"]}],
                },
            ],
        }


def sessions(issuer: str) -> dict[str, Any]:
    """Return the section `sessions`: a client of every kind."""
    hashed = ["sha256:" + sha256(SECRET.encode()).hexdigest()]
    return {
        "issuer": issuer,
        "audiences": [AUDIENCE],
        "key_file": "keys.json",
        "scope": SCOPE,
        "access": {"jitter": 0},
        "clients": {
            "web": {"type": "public"},
            "svc": {"type": "confidential", "secret_hashes": hashed, "may": {"introspect": True}},
            "backend": {"type": "confidential", "secret_hashes": hashed, "may": {"open_sessions": True}},
            "api": {
                "type": "confidential",
                "secret_hashes": hashed,
                "grants": [],
                "may": {"introspect": True},
                "audiences": [AUDIENCE],
            },
        },
        "login": {"users": {"file": "users"}},
        "resource": {"identifier": AUDIENCE, "scopes_supported": SCOPE.split()},
    }


def opened(url: str, ca: str | None = None, **more: str) -> dict[str, Any]:
    """Open a session for alice as a backend does: quicker than a login, which hashes a password."""
    body = {"sub": "alice", "client_id": "web", "scope": SCOPE, **more}
    headers = {"Authorization": BACKEND, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/auth/sessions", json.dumps(body).encode(), headers)
    context = None if ca is None else ssl.create_default_context(cafile=ca)
    with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as response:
        tokens: dict[str, Any] = json.load(response)
        return tokens


@contextmanager
def fleet(directory: Path, house: Path, state: Mapping[str, Any], upstream: str, **options: Any) -> Iterator[Fleet]:
    """Give a fleet without gateways. Those that are started end with it, and a failure shows their logs."""
    ships = Fleet(directory, house, state, upstream, **options)
    try:
        yield ships
    except BaseException as error:
        error.add_note(ships.logs())
        raise
    finally:
        ships.stop()


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root}


def until_ready(ops: str) -> None:
    """Wait until the gateway with this ops address is ready: its own pages answer before it is."""
    end = time.monotonic() + PATIENCE
    while (status := status_at(f"http://{ops}/readyz")) != 200:
        assert time.monotonic() < end, status
        time.sleep(0.05)


def status_at(url: str) -> int:
    """Return the status of a URL; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
