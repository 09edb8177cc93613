"""What an upstream would get of a request, with credentials hidden."""

import re
from dataclasses import dataclass

from gateway.config.snapshot import Snapshot
from gateway.engine.routes import Route
from gateway.mechanisms.mutators import FixedHeader, IdentityToken
from gateway.model.decision import Allow
from gateway.model.request import InboundRequest
from gateway.proxy.heads import granted_upgrade, request_framing, request_head

NEW_REQUEST_ID = "made-anew-for-each-request"
_ALWAYS_HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie", "sec-websocket-protocol"})
_LOOKS_SECRET = re.compile(r"token|secret|password|credential|session|signature|assertion|api-?key|auth", re.IGNORECASE)
_WRITTEN_ANEW = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"})


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Where a request would go, and its exact head there. `removed` are the client's headers that are not in it."""

    upstream: str
    targets: tuple[str, ...]
    head: tuple[str, ...]
    removed: tuple[str, ...]


def forwarded(snapshot: Snapshot, request: InboundRequest, allow: Allow[Route]) -> Forwarded:
    """Return what the upstream would get. Of several targets, it is the first one's head."""
    spec = snapshot.upstreams[allow.route.upstream]
    request_id = snapshot.forwarding.request_id(request, NEW_REQUEST_ID)
    framing, _ = request_framing(request)
    upgrade = granted_upgrade(request, framing, allow.route)
    authority = spec.targets[0].authority.encode()
    head = request_head(request, framing, upgrade, allow, snapshot, spec, authority, request_id)
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    hidden = _hidden(request, allow.route)
    return Forwarded(
        spec.name,
        tuple(str(target) for target in spec.targets),
        (first, *(_masked(line, hidden) for line in lines)),
        _removed(snapshot, request, allow.route),
    )


def _hidden(request: InboundRequest, route: Route) -> frozenset[str]:
    """Return the names of headers whose values may be credentials; of the injected ones, those of identity tokens and
    of fixed values, by which an upstream may know the gateway."""
    sent = {name.decode("latin-1").lower() for name, _ in request.headers}
    sources = {name.decode() for source in route.sources for name in source.credentials.headers}
    injected = (mutator for mutator in route.mutators if isinstance(mutator, IdentityToken | FixedHeader))
    owned = {name.lower() for mutator in injected for name in mutator.owned}
    return frozenset(_ALWAYS_HIDDEN | sources | owned | {name for name in sent if _LOOKS_SECRET.search(name)})


def _masked(line: str, hidden: frozenset[str]) -> str:
    name, _, value = line.partition(": ")
    return f"{name}: <hidden, {len(value)} bytes>" if name.lower() in hidden else line


def _removed(snapshot: Snapshot, request: InboundRequest, route: Route) -> tuple[str, ...]:
    lines = snapshot.contract.lines(request, route)
    kept = {line.partition(b":")[0].decode("latin-1").lower() for line in lines} | _WRITTEN_ANEW
    names = (name.decode("latin-1") for name, _ in request.headers)
    return tuple(dict.fromkeys(name for name in names if name.lower() not in kept))
