"""HAProxy: as a plain proxy, and with `jwt_verify`."""

from bench.material import AUDIENCE, INJECTED, ISSUER, REQUIRED_SCOPE
from bench.processes import program_path
from bench.scene import Ports, Scene


def haproxy_plain_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how HAProxy is started as a plain proxy."""
    return _haproxy(scene, ports, "", scene.plain_upstream)


def haproxy_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how HAProxy is started: signature, exp, iss, aud and scope, then the claim headers."""
    deny = "http-request deny deny_status"
    verified = f'var(txn.token),jwt_verify("RS256","{scene.material.public_key}") -m int 1'
    # A claim that is checked and injected is read from the token once, as a careful operator would write it.
    read = "\n".join(
        f"  http-request set-var(txn.{claim}) var(txn.token),jwt_payload_query('$.{claim}')"
        for claim in INJECTED.values()
    )
    inject = "\n".join(f"  http-request set-header {header} %[var(txn.{claim})]" for header, claim in INJECTED.items())
    rules = f"""
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
{inject}"""
    return _haproxy(scene, ports, rules, scene.upstream)


def _haproxy(scene: Scene, ports: Ports, rules: str, upstream: str) -> list[str]:
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
  bind 127.0.0.1:{ports.http}
{rules}
  default_backend upstream
backend upstream
  server upstream {upstream}
"""
    return [program_path("haproxy"), "-db", "-f", scene.write("haproxy.cfg", config)]
