"""nginx: as a plain proxy, and as the upstream of all contenders."""

import os
from typing import Final

from bench.answers import ANSWER, ECHO_PATH, STATUS_PATH
from bench.material import INJECTED, SCOPE
from bench.processes import program_path
from bench.scene import Ports, Scene

SIZES: Final = {"16k": 16 << 10, "1m": 1 << 20}
"""Answers from files: below /answers/NAME."""

_SEEN: Final = "|".join(f"$http_{header.lower().replace('-', '_')}" for header in INJECTED)
# The last part of each path is the number of the token's user: no other one may have been seen.
_RIGHT: Final = rf"^/.*/([0-9]+)\|user-\1\|user-\1@example\.com\|{SCOPE}$"


def nginx_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how nginx is started as a plain proxy."""
    kept = f"keepalive {scene.connections * 2}; keepalive_requests 100000000;"
    # Bodies stay in memory, as they do in the gateway: by default nginx writes these sizes to files.
    http = f"""
  client_max_body_size 0;
  client_body_buffer_size 128k;
  proxy_max_temp_file_size 0;
  upstream bench {{ server {scene.plain_upstream}; {kept} }}
  server {{
    listen 127.0.0.1:{ports.http};
    listen 127.0.0.1:{ports.tls} ssl;
    ssl_certificate {scene.material.certificate};
    ssl_certificate_key {scene.material.certificate_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1;
    location / {{
      proxy_pass http://bench;
      proxy_set_header Connection "";
    }}
    location = /ws {{
      proxy_pass http://{scene.echo_upstream};
      proxy_set_header Connection upgrade;
      proxy_set_header Upgrade $http_upgrade;
    }}
  }}"""
    return _nginx(scene, http, connections=16384)


def upstream_command(scene: Scene) -> list[str]:
    """Return how the upstream is started: fixed answers, an echo of the claim headers, a request counter.

    On its first port it answers 500 to a request that does not tell the right user.
    """
    for name, size in SIZES.items():
        (scene.directory / name).write_bytes(b"x" * size)
    kept = "keepalive 256; keepalive_requests 100000000;"
    http = f"""
  client_body_buffer_size 128k;
  open_file_cache max=16;
  map "$uri|{_SEEN}" $is_right {{ default 0; "~{_RIGHT}" 1; }}
  upstream here {{ server {scene.plain_upstream}; {kept} }}
  {_upstream_server(scene, scene.upstream, "if ($is_right = 0) { return 500; }")}
  {_upstream_server(scene, scene.plain_upstream, "")}"""
    return _nginx(scene, http, connections=4096)


def _upstream_server(scene: Scene, address: str, check: str) -> str:
    files = "".join(
        f"location /answers/{name}/ {{ {check} root {scene.directory}; try_files /{name} =404; }}\n    "
        for name in SIZES
    )
    # An upload is read to its end before it is answered, which only a proxy does: to this very server, without it.
    return f"""server {{
    listen {address};
    default_type text/plain;
    {files}location /uploads/ {{
      {check}
      proxy_pass http://here/;
      proxy_http_version 1.1;
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
      proxy_set_header Connection "";
    }}
    location / {{ {check} return 200 "{ANSWER}"; }}
    location = {ECHO_PATH} {{ return 200 "{_SEEN}"; }}
    location = {STATUS_PATH} {{ stub_status; }}
  }}"""


def _nginx(scene: Scene, http: str, connections: int) -> list[str]:
    prefix = scene.directory
    # Only root may and must name a user: its worker would otherwise not enter the private directory of the run.
    user = "user root;" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"  {kind}_temp_path {prefix}/{kind};" for kind in kinds)
    config = f"""
{user}
daemon off;
worker_processes 1;
pid {prefix}/pid;
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 100000000;
{temporary}
{http}
}}
"""
    return [program_path("nginx"), "-p", str(prefix), "-e", "stderr", "-c", scene.write("nginx.conf", config)]
