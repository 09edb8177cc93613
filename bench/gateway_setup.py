"""How this project is configured and started in the benchmark."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from bench.fleets import SQLITE_FILE
from bench.material import AUDIENCE, INJECTED, ISSUER, REQUIRED_SCOPE
from bench.processes import free_ports
from bench.revoked import fill_with_revoked_tokens
from bench.scene import Ports, Scene

_CONNECTIONS: Final = 12_000
ADMIN_TOKEN: Final = "a-token-for-the-admin-api-of-a-benchmark"


@dataclass(frozen=True, slots=True)
class Setup:
    """What differs between the gateways of a run. `revocations` is None for no state at all.

    With `console` somebody looks at it all the time. `twins` are two gateways on one port, as two workers would be.
    """

    revocations: int | None = 10_000
    routes: int = 0
    workers: int = 1
    access_log: bool = False
    console: bool = False
    twins: bool = False

    @property
    def processes(self) -> int:
        """How many processes have connections, each with a cache of its own."""
        return 2 if self.twins else self.workers


BARE: Final = Setup(revocations=None)


def gateway_command(scene: Scene, ports: Ports, setup: Setup = BARE) -> list[str]:
    """Return how a gateway is started, with its configuration written and its store filled."""
    if setup.revocations:
        fill_with_revoked_tokens(scene.directory, setup.revocations)
    file = write_gateway_config(scene, ports, setup)
    if not setup.twins:
        return [sys.executable, "-m", "gateway", "serve", file]
    tls, ops = free_ports(2)
    other = write_gateway_config(scene, replace(ports, tls=tls, ops=ops), setup)
    return [sys.executable, "-m", "bench.twins", str(ports.http), file, other]


def write_gateway_config(scene: Scene, ports: Ports, setup: Setup = BARE) -> str:
    """Write the configuration of a gateway."""
    idle = scene.connections * 2
    config: dict[str, Any] = {
        "listen": [
            {"address": f"127.0.0.1:{ports.http}"},
            {
                "address": f"127.0.0.1:{ports.tls}",
                "tls": {"certificate": str(scene.material.certificate), "key": str(scene.material.certificate_key)},
            },
        ],
        "ops": {"address": f"127.0.0.1:{ports.ops}"},
        "workers": setup.workers,
        "limits": {"connections": _CONNECTIONS},
        "log": {"access": setup.access_log},
        "inject": [{"header": header, "claim": claim} for header, claim in INJECTED.items()],
        "authenticators": {
            "bench": {
                "type": "jwt",
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "algorithms": ["RS256"],
                "jwks_file": str(scene.material.jwks),
            }
        },
        "upstreams": {
            "bench": {"targets": [f"http://{scene.upstream}"], "idle_connections": idle},
            "echo": {"targets": [f"http://{scene.echo_upstream}"], "idle_connections": idle},
        },
        "routes": list(_routes(setup.routes)),
    }
    if setup.console:
        config["admin"] = {
            "address": f"127.0.0.1:{ports.admin}",
            "token_file": scene.write("admin-token", ADMIN_TOKEN),
        }
    if setup.revocations is not None:
        config["state"] = {"url": f"sqlite:{scene.directory / SQLITE_FILE}"}
    # JSON is YAML, and quick to write and to read with 10,000 routes.
    return scene.write(f"gateway-{ports.ops}.yaml", json.dumps(config, indent=1))


def _routes(more: int) -> Iterator[dict[str, Any]]:
    yield _route("bench", "/**", "bench")
    yield _route("echo", "/ws", "echo")
    for number in range(more):
        yield _route(f"route-{number}", f"/r{number}/orders/{{id}}", "bench")


def _route(name: str, path: str, upstream: str) -> dict[str, Any]:
    require = [{"scopes": [REQUIRED_SCOPE]}]
    return {"id": name, "match": {"path": path}, "upstream": upstream, "require": require}
