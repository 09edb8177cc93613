"""How each contender is configured and started, always with one worker; and the upstream they share."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bench.material import AUDIENCE, INJECTED, ISSUER, REQUIRED_SCOPE, Material
from bench.processes import MissingProgram, free_ports

ANSWER: Final = "x" * 200
ECHO_PATH: Final = "/echo"
STATUS_PATH: Final = "/upstream-status"


@dataclass(frozen=True, slots=True)
class Scene:
    """What every contender is given."""

    directory: Path
    upstream_port: int
    material: Material
    connections: int

    @property
    def upstream(self) -> str:
        """The address of the upstream, host and port."""
        return f"127.0.0.1:{self.upstream_port}"

    def write(self, name: str, text: str) -> str:
        """Write a file of the run and return its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table."""

    name: str
    work: str
    checks_tokens: bool
    command: Callable[[Scene, int], list[str]]
    """Writes the configuration for a port and returns the command; raises MissingProgram if it cannot."""


def gateway_command(scene: Scene, port: int) -> list[str]:
    """Return how this project is started."""
    return [sys.executable, "-m", "gateway", "serve", write_gateway_config(scene, port)]


def write_gateway_config(scene: Scene, port: int) -> str:
    """Write the gateway's configuration: one worker, no access log, as for all contenders."""
    config = {
        "listen": [{"address": f"127.0.0.1:{port}"}],
        "ops": {"address": f"127.0.0.1:{free_ports(1)[0]}"},
        "log": {"access": False},
        "authenticators": {
            "bench": {
                "type": "jwt",
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "algorithms": ["RS256"],
                "jwks_file": str(scene.material.jwks),
            }
        },
        "upstreams": {"bench": {"targets": [f"http://{scene.upstream}"], "idle_connections": scene.connections * 2}},
        "routes": [
            {
                "id": "bench",
                "match": {"path": "/**"},
                "upstream": "bench",
                "require": [{"scopes": [REQUIRED_SCOPE]}],
                "inject": [{"header": header, "claim": claim} for header, claim in INJECTED.items()],
            }
        ],
    }
    return scene.write("gateway.yaml", yaml.safe_dump(config, sort_keys=False))


def naive_command(scene: Scene, port: int) -> list[str]:
    """Return how the aiohttp proxy of an afternoon is started."""
    options = ["--port", str(port), "--upstream", f"http://{scene.upstream}"]
    return [sys.executable, "-m", "bench.naive", *options, "--public-key", str(scene.material.public_key)]


def nginx_command(scene: Scene, port: int) -> list[str]:
    """Return how nginx is started as a plain proxy."""
    http = f"""
  upstream bench {{
    server {scene.upstream};
    keepalive {scene.connections * 2};
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}"""
    return _nginx(scene, "nginx", http)


def upstream_command(scene: Scene) -> list[str]:
    """Return how the upstream is started: a fixed answer, an echo of the claim headers, a request counter."""
    seen = "|".join(f"$http_{header.lower().replace('-', '_')}" for header in INJECTED)
    http = f"""
  server {{
    listen {scene.upstream};
    default_type text/plain;
    location / {{ return 200 "{ANSWER}"; }}
    location = {ECHO_PATH} {{ return 200 "{seen}"; }}
    location = {STATUS_PATH} {{ stub_status; }}
  }}"""
    return _nginx(scene, "upstream", http)


def haproxy_command(scene: Scene, port: int) -> list[str]:
    """Return how HAProxy is started: signature, exp, iss, aud and scope, then the claim headers."""
    program = program_path("haproxy")
    deny = "http-request deny deny_status"
    verified = f'var(txn.token),jwt_verify("RS256","{scene.material.public_key}") -m int 1'
    # A claim that is checked and injected is read from the token once, as a careful operator would write it.
    read = "\n".join(
        f"  http-request set-var(txn.{claim}) var(txn.token),jwt_payload_query('$.{claim}')"
        for claim in INJECTED.values()
    )
    inject = "\n".join(f"  http-request set-header {header} %[var(txn.{claim})]" for header, claim in INJECTED.items())
    config = f"""
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
  option http-keep-alive
  http-reuse always
frontend bench
  bind 127.0.0.1:{port}
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.now) date
  {deny} 401 unless {{ var(txn.token) -m found }}
  {deny} 401 unless {{ var(txn.token),jwt_header_query('$.alg') -m str RS256 }}
  {deny} 401 unless {{ {verified} }}
  {deny} 401 unless {{ var(txn.token),jwt_payload_query('$.exp','int'),sub(txn.now) -m int gt 0 }}
  {deny} 401 unless {{ var(txn.token),jwt_payload_query('$.iss') -m str {ISSUER} }}
  {deny} 401 unless {{ var(txn.token),jwt_payload_query('$.aud') -m str {AUDIENCE} }}
{read}
  {deny} 403 unless {{ var(txn.scope) -m reg (^|\\ ){REQUIRED_SCOPE}(\\ |$) }}
{inject}
  default_backend upstream
backend upstream
  server upstream {scene.upstream}
"""
    return [program, "-db", "-f", scene.write("haproxy.cfg", config)]


CONTENDERS: Final = (
    Contender("gateway", "this project: verifies a token once, then remembers it", True, gateway_command),
    Contender("naive", "aiohttp + ClientSession + PyJWT: verifies a token on every request", True, naive_command),
    Contender("nginx", "plain proxy: checks and injects nothing", False, nginx_command),
    Contender("haproxy", "jwt_verify: verifies a token on every request", True, haproxy_command),
)


def program_path(name: str) -> str:
    """Return where an installed program is; raise MissingProgram if it is not."""
    # Debian keeps servers in sbin, which is not on every user's path.
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin")
    if found is None:
        raise MissingProgram(f"{name} is not installed")
    return found


def _nginx(scene: Scene, name: str, http: str) -> list[str]:
    prefix = scene.directory / name
    prefix.mkdir()
    # Only root may and must name a user: its worker would otherwise not enter the private directory of the run.
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = "\n".join(
        f"  {kind}_temp_path {prefix}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = f"""
{user}
daemon off;
worker_processes 1;
pid {prefix}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
{temporary}
{http}
}}
"""
    return [program_path("nginx"), "-p", str(prefix), "-e", "stderr", "-c", scene.write(f"{name}.conf", config)]
