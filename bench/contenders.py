"""The contenders: what each does, and how it is started, with one worker unless it says otherwise."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.envoy import envoy_command, envoy_plain_command, envoy_uncached_command
from bench.gateway_setup import Setup, gateway_command
from bench.haproxy import haproxy_command, haproxy_plain_command
from bench.nginx import nginx_command
from bench.scene import Ports, Scene


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that is measured.

    `setup` is there for the gateways. One that is not `is_pinned` may use every core, and so may its load.
    """

    name: str
    work: str
    checks_tokens: bool
    command: Callable[[Scene, Ports], list[str]]
    """Writes the configuration and returns the command; raises MissingProgram if it cannot."""
    setup: Setup | None = None
    is_pinned: bool = True

    @property
    def slug(self) -> str:
        """The name as that of a directory."""
        return "-".join("".join(sign if sign.isalnum() else " " for sign in self.name).split())


def naive_command(scene: Scene, ports: Ports) -> list[str]:
    """Return how the aiohttp proxy of an afternoon is started."""
    options = ["--port", str(ports.http), "--upstream", f"http://{scene.upstream}"]
    return [sys.executable, "-m", "bench.naive", *options, "--public-key", str(scene.material.public_key)]


def gateway(name: str, work: str, setup: Setup, *, is_pinned: bool = True) -> Contender:
    """Return this project in a certain setup."""
    return Contender(name, work, True, partial(gateway_command, setup=setup), setup, is_pinned)


GATEWAY: Final = gateway(
    "gateway", "remembers verified tokens; 3 claim headers, scope, 10,000 revocations, metrics", Setup()
)
LOGGING: Final = gateway(
    "gateway, access log", "the same, and a line of JSON a request to a file", Setup(access_log=True)
)
NAIVE: Final = Contender(
    "naive aiohttp", "handler with `ClientSession` and PyJWT, as written in an afternoon", True, naive_command
)
NGINX: Final = Contender("nginx", "plain proxy: checks and injects nothing", False, nginx_command)
HAPROXY_PLAIN: Final = Contender("HAProxy", "plain proxy: checks and injects nothing", False, haproxy_plain_command)
HAPROXY: Final = Contender(
    "HAProxy jwt_verify", "verifies on every request; 3 claim headers, scope", True, haproxy_command
)
ENVOY_PLAIN: Final = Contender("Envoy", "plain proxy: checks and injects nothing", False, envoy_plain_command)
ENVOY: Final = Contender("Envoy jwt_authn", "remembers verified tokens; 3 claim headers, scope", True, envoy_command)
ENVOY_UNCACHED: Final = Contender(
    "Envoy jwt_authn, no cache", "verifies on every request; 3 claim headers, scope", True, envoy_uncached_command
)

CONTENDERS: Final = (
    GATEWAY,
    LOGGING,
    NAIVE,
    HAPROXY,
    ENVOY,
    ENVOY_UNCACHED,
    NGINX,
    HAPROXY_PLAIN,
    ENVOY_PLAIN,
)
"""Side by side in the table."""

FEW_ROUTES: Final = gateway("gateway, 10 routes", "", Setup(routes=10))
MANY_ROUTES: Final = gateway("gateway, 10,000 routes", "", Setup(routes=10_000))
NONE_REVOKED: Final = gateway("gateway, no revocations", "", Setup(revocations=0))
MILLION_REVOKED: Final = gateway("gateway, 1 million revocations", "", Setup(revocations=1_000_000))
WATCHED: Final = gateway("gateway, console open", "", Setup(console=True))
UNWATCHED: Final = gateway("gateway, no console", "", Setup())
TWO_WORKERS_ON_ONE_CORE: Final = gateway("gateway, two workers on one core", "", Setup(workers=2))
ONE_WORKER: Final = gateway("gateway, one worker", "", Setup(), is_pinned=False)
TWO_WORKERS: Final = gateway("gateway, two workers", "", Setup(workers=2), is_pinned=False)
TWINS: Final = gateway("two gateways", "", Setup(twins=True), is_pinned=False)
"""What two workers are, without anything that makes them one gateway."""
