"""Envoy: as a plain proxy, and with `jwt_authn`, its token cache on or off."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from bench.material import AUDIENCE, INJECTED, ISSUER, REQUIRED_SCOPE
from bench.processes import ROOT, MissingProgram
from bench.scene import Ports, Scene

VARIABLE: Final = "BENCH_ENVOY"
"""The environment variable that names the binary."""

_INSTALLED: Final = ".venv-envoy/lib/python3*/site-packages/envoy/_bin/envoy"
_REMEMBERED: Final = 100_000
_FILTERS: Final = "envoy.extensions.filters"


def envoy_program() -> str:
    """Return where Envoy is: named by BENCH_ENVOY, installed by `make envoy`, or on the path."""
    installed = (str(path) for path in ROOT.glob(_INSTALLED))
    found = os.environ.get(VARIABLE) or next(installed, None) or shutil.which("envoy")
    if found is None or not Path(found).is_file():
        raise MissingProgram("Envoy is not installed: `make envoy` installs it")
    return found


def envoy_plain_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how Envoy is started as a plain proxy."""
    return _envoy(scene, ports, [], scene.plain_upstream)


def envoy_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how Envoy is started with its token cache on, and larger than needed."""
    cache = {"jwt_cache_size": _REMEMBERED, "jwt_max_token_size": 4096}
    return _envoy(scene, ports, [_jwt_authn(scene, jwt_cache_config=cache), _SCOPE_CHECK], scene.upstream)


def envoy_uncached_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how Envoy is started to verify a token on every request."""
    return _envoy(scene, ports, [_jwt_authn(scene), _SCOPE_CHECK], scene.upstream)


def _jwt_authn(scene: Scene, **more: Any) -> dict[str, Any]:
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"filename": str(scene.material.jwks)},
        "payload_in_metadata": "claims",
        "claim_to_headers": [{"header_name": header, "claim_name": claim} for header, claim in INJECTED.items()],
        **more,
    }
    rule = {"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}
    return _filter("http.jwt_authn", "http.jwt_authn.v3.JwtAuthentication", providers={"bench": provider}, rules=[rule])


def _filter(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": f"envoy.filters.{name}", "typed_config": _typed(f"{_FILTERS}.{kind}", **settings)}


def _typed(kind: str, **settings: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{kind}", **settings}


def _has_scope() -> dict[str, Any]:
    regex = {"safe_regex": {"regex": f"(.* )?{REQUIRED_SCOPE}( .*)?"}}
    path = [{"key": "claims"}, {"key": "scope"}]
    return {"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": {"string_match": regex}}}


_SCOPE_CHECK: Final = _filter(
    "http.rbac",
    "http.rbac.v3.RBAC",
    rules={"action": "ALLOW", "policies": {"scope": {"permissions": [{"any": True}], "principals": [_has_scope()]}}},
)


def _envoy(scene: Scene, ports: Ports, filters: list[dict[str, Any]], upstream: str) -> list[str]:
    router = _filter("http.router", "http.router.v3.Router")
    everything = {"match": {"prefix": "/"}, "route": {"cluster": "bench", "timeout": "60s"}}
    hosts = [{"name": "bench", "domains": ["*"], "routes": [everything]}]
    manager = _filter(
        "network.http_connection_manager",
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        route_config={"virtual_hosts": hosts},
        http_filters=[*filters, router],
    )
    listener = {"address": _address(f"127.0.0.1:{ports.http}"), "filter_chains": [{"filters": [manager]}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}]
    cluster = {
        "name": "bench",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "bench", "endpoints": endpoints},
    }
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    file = scene.write("envoy.json", json.dumps(config, indent=1))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [envoy_program(), "--config-path", file, *options]


def _address(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
