"""Settings that are valid, and let others come closer than most people want."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, is_open, problem
from gateway.config.schema import Config, RouteSettings
from gateway.engine.paths import path_pattern
from gateway.mechanisms.authenticators.jwt import JwtSettings

_WIDE = {4: 16, 6: 48}
"""Prefixes shorter than this hold more hosts than anybody has proxies."""

_MEANING = {
    "trust_every_proxy": "anybody can tell the gateway any client address",
    "http_issuer": "keys and metadata of an issuer can be replaced on the way",
    "http_login": "passwords can be read on the way to the login backend",
    "http_alarm": "alarms can be read and held back on the way",
    "no_audience": "tokens that were meant for other services pass",
    "short_hmac_key": "a secret is short enough to be guessed offline",
    "weak_rsa_key": "an RSA key is short enough to be broken",
    "unverified_upstream_tls": "anybody on the way can pose as an upstream",
}


def trusted_proxies(patient: Patient) -> list[Finding]:
    networks = [each for each in patient.config.trusted_proxies if not isinstance(each, str)]
    found = [finding for network in networks if (finding := _of_network(network)) is not None]
    return found or [
        fine("trusted_proxies", f"networks that are trusted as proxies: {len(networks)}, none of them wide")
    ]


def _of_network(network: IPv4Network | IPv6Network) -> Finding | None:
    to_do = "name the addresses of your proxies in trusted_proxies, and nothing else"
    if network.prefixlen == 0:
        says = f"trusted_proxies: {network} is everybody, so every client can forge its address"
        return problem("trusted_proxies", says, to_do)
    if network.prefixlen < _WIDE[network.version]:
        says = f"trusted_proxies: every host in {network} can forge the address of a client"
        return (advice if network.is_private else problem)("trusted_proxies", says, to_do)
    return None


def ops_port(patient: Patient) -> list[Finding]:
    if patient.config.ops is None:
        says = "there is no ops address: nobody sees metrics and health"
        return [advice("ops_port", says, "write ops: {address: 127.0.0.1:9090}")]
    address = patient.config.ops.address
    if address.path or not is_open(address.host):
        return [fine("ops_port", f"metrics and health are on {address}, for this host only")]
    says = f"metrics and health are on {address}, without asking who comes: they tell routes, issuers and loads"
    return [advice("ops_port", says, "let only probes and the monitoring reach the port (a NetworkPolicy, a firewall)")]


def admin_port(patient: Patient) -> list[Finding]:
    if patient.config.admin is None:
        return []
    address = patient.config.admin.address
    if address.path or not is_open(address.host):
        return [fine("admin_port", f"the admin API is on {address}, for this host only")]
    if patient.config.admin.tls is not None:
        return [fine("admin_port", f"the admin API is on {address}, with TLS")]
    says = f"the admin API is on {address}, without TLS: who can read the network gets a token that ends any session"
    return [
        problem(
            "admin_port", says, "give it tls; or bind it to 127.0.0.1 or a Unix socket, and go there through a tunnel"
        )
    ]


def listeners(patient: Patient) -> list[Finding]:
    found = []
    for listener in patient.config.listen:
        address = listener.address
        if listener.tls is not None or address.path or not is_open(address.host):
            found.append(fine("listeners", f"tokens that come to {address} cannot be read on the way"))
        else:
            says = f"{address} takes requests without TLS: tokens can be read by whoever can read that network"
            found.append(advice("listeners", says, "give the listener tls, or let only a proxy with TLS reach it"))
    return found


def issuers(patient: Patient) -> list[Finding]:
    found = []
    for name, settings in _issuers(patient.config):
        urls = [url for url in (settings.issuer if settings.discovery else None, settings.jwks_uri) if url is not None]
        if any(url.startswith("http:") for url in urls):
            says = f"authenticators.{name}: its keys come over http, so whoever is on the way can sign tokens"
            found.append(problem("issuers", says, "use https, with fetch.ca for an authority of your own"))
        elif urls:
            found.append(fine("issuers", f"authenticators.{name}: its keys come over https"))
    return found


def audiences(patient: Patient) -> list[Finding]:
    found = []
    for name, settings in _issuers(patient.config):
        if settings.audiences:
            found.append(fine("audiences", f"authenticators.{name}: tokens must be meant for this API"))
        else:
            says = f"authenticators.{name}: tokens that its issuer made for any other service pass here, too"
            found.append(problem("audiences", says, "name this API in audiences, and have the issuer put it into aud"))
    return found


def shared_secrets(patient: Patient) -> list[Finding]:
    """One who can check an HMAC can make it."""
    found = []
    issuers = list(_issuers(patient.config))
    for name, settings in issuers:
        if not settings.algorithms[0].startswith("HS"):
            continue
        beside = [
            o for o, each in issuers if each.issuer == settings.issuer and not each.algorithms[0].startswith("HS")
        ]
        if beside:
            says = f"authenticators.{name} takes HMAC from the issuer that has public keys in {', '.join(beside)}"
            to_do = "drop the authenticator with the secret: who has the secret can pose as the issuer"
            found.append(problem("shared_secrets", says, to_do))
        else:
            says = f"authenticators.{name}: everybody who can check its tokens can also make them"
            found.append(advice("shared_secrets", says, "prefer an issuer with public keys (ES256, EdDSA)"))
    return found


def public_routes(patient: Patient) -> list[Finding]:
    """A public wildcard takes whatever nobody thought of."""
    found = []
    for route in patient.config.routes:
        pattern = path_pattern(route.match.path)
        if route.access != "public" or not pattern.rest:
            continue
        inside = [other.id for other in patient.config.routes if other.access != "public" and _is_inside(other, route)]
        says = f"route {route.id}: everything below {route.match.path} that no other route takes is open to everybody"
        if pattern.segments and not inside:
            found.append(fine("public_routes", f"route {route.id}: {route.match.path} is public, and nothing else"))
        else:
            says += f"; {', '.join(inside[:3])} are protected inside of it" if inside else ""
            make = problem if not pattern.segments else advice
            found.append(make("public_routes", says, "name the public paths one by one, and protect the rest"))
    return found


def weaknesses(patient: Patient) -> list[Finding]:
    found = [
        advice("weaknesses", f"insecure: {name} is accepted: {_MEANING[name]}", f"remove the need, then {name}")
        for name in sorted(patient.config.insecure)
    ]
    return found or [fine("weaknesses", "no weakness is accepted")]


def _is_inside(route: RouteSettings, outer: RouteSettings) -> bool:
    """Say whether a route takes a part of what a wildcard would take without it."""
    mine, others = path_pattern(route.match.path).segments, path_pattern(outer.match.path).segments
    return len(mine) >= len(others) and all(o is None or m == o for m, o in zip(mine, others, strict=False))


def _issuers(config: Config) -> Iterator[tuple[str, JwtSettings]]:
    return ((name, each) for name, each in config.authenticators.items() if isinstance(each, JwtSettings))
