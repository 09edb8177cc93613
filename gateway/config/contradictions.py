"""Settings that are valid each, and wrong together. Every check is a function over the draft; `_CHECKS` lists them all.

What takes resources (files, keys) or the route table is found by the compiler.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from itertools import chain

from gateway.config.draft import Draft, Reference
from gateway.config.mistakes import SettingPath, did_you_mean
from gateway.config.rate_contradictions import (
    limits_of_callers_on_public_routes,
    repeated_limits,
    shared_limits_without_redis,
)
from gateway.config.schema import RouteSettings
from gateway.config.session_contradictions import (
    insecure_alarm,
    insecure_session_issuer,
    own_tokens_taken_for_anothers,
    sessions_without_state,
)
from gateway.config.token_contradictions import (
    headers_of_new_tokens,
    new_tokens_that_nobody_makes,
    new_tokens_that_nobody_takes,
    refresh_tokens_that_are_never_taken,
    renewals_that_look_like_theft,
    revocation_without_state,
)
from gateway.config.upstream_contradictions import repeated_targets
from gateway.engine.paths import path_pattern
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.mechanisms.mutators import ClaimHeader, IdentityTokenSettings, MutatorSettings, TemplateHeader

Contradiction = tuple[SettingPath, str]


def contradictions(draft: Draft) -> Iterator[Contradiction]:
    """Yield every contradiction, as the path of the setting to change and what is wrong with it."""
    return chain.from_iterable(check(draft) for check in _CHECKS)


def unknown_upstreams(draft: Draft) -> Iterator[Contradiction]:
    yield from _unknown("upstream", draft.upstreams, draft.names.get("upstreams"))


def unknown_authenticators(draft: Draft) -> Iterator[Contradiction]:
    admin = () if draft.config.admin is None else draft.config.admin.authenticators or ()
    references = (
        *draft.authenticators,
        *((("admin", "authenticators", place), name) for place, name in enumerate(admin)),
    )
    yield from _unknown("authenticator", references, draft.names.get("authenticators"))


def _unknown(kind: str, references: tuple[Reference, ...], known: frozenset[str] | None) -> Iterator[Contradiction]:
    for path, name in references:
        if known is not None and isinstance(name, str) and name not in known:
            yield path, f'unknown {kind} "{name}"{did_you_mean(name, known)}'


def routes_without_authenticators(draft: Draft) -> Iterator[Contradiction]:
    known = draft.names.get("authenticators")
    for index, route in draft.routes:
        if known is None or route.access == "public" or route.authenticators is not None or len(known) == 1:
            continue
        if not known:
            yield (
                ("routes", index),
                "nobody can vouch for a caller: add one under authenticators, or write access: public",
            )
        else:
            names = ", ".join(sorted(known))
            yield (
                ("routes", index),
                f"several authenticators are configured; write authenticators: with one or more of {names}",
            )


def repeated_route_ids(draft: Draft) -> Iterator[Contradiction]:
    first: dict[str, int] = {}
    for index, route in draft.routes:
        if first.setdefault(route.id, index) != index:
            yield ("routes", index, "id"), f'"{route.id}" is already the id of routes[{first[route.id]}]'


def subjects_that_could_collide(draft: Draft) -> Iterator[Contradiction]:
    """A subject is only unique together with its issuer (OpenID Connect Core §5.7)."""
    for index, route in draft.routes:
        mutators = _mutators(draft, route)
        if route.subject_without_issuer or len(_issuers(draft, route)) < 2 or not _injects(mutators, "sub"):
            continue
        if not _injects(mutators, "iss") and not any(isinstance(each, IdentityTokenSettings) for each in mutators):
            yield (
                ("routes", index) if route.inject is None else ("routes", index, "inject"),
                "injects sub without iss, but several issuers are accepted, whose subjects could collide; "
                "inject iss too, use an identity_token, or write subject_without_issuer: true",
            )


def identity_tokens_without_key(draft: Draft) -> Iterator[Contradiction]:
    if draft.config.identity is None and "identity" not in draft.broken:
        for path, mutators in _inject_lists(draft):
            for place, mutator in enumerate(mutators):
                if isinstance(mutator, IdentityTokenSettings):
                    yield (*path, place), "an identity_token is signed with the gateway's own key; configure identity"


def proxies_that_are_nearly_everybody(draft: Draft) -> Iterator[Contradiction]:
    if "trust_every_proxy" in draft.config.insecure or "insecure" in draft.broken:
        return
    networks = draft.config.trusted_proxies
    for index, network in zip(draft.numbers("trusted_proxies", len(networks)), networks, strict=True):
        if network == "unix":
            continue
        if network.prefixlen < (8 if isinstance(network, IPv4Network) else 16):
            message = (
                f"{network} trusts nearly everybody; name your proxies, or accept it: insecure: [trust_every_proxy]"
            )
            yield ("trusted_proxies", index), message


def unverified_upstreams(draft: Draft) -> Iterator[Contradiction]:
    if "unverified_upstream_tls" in draft.config.insecure or "insecure" in draft.broken:
        return
    for name, upstream in draft.config.upstreams.items():
        if not upstream.tls.verify:
            message = "anybody could pose as the upstream; verify it, or accept it: insecure: [unverified_upstream_tls]"
            yield ("upstreams", name, "tls", "verify"), message


def tls_without_https(draft: Draft) -> Iterator[Contradiction]:
    for name, upstream in draft.config.upstreams.items():
        if "tls" in upstream.model_fields_set and not any(target.scheme == "https" for target in upstream.targets):
            yield ("upstreams", name, "tls"), "no target begins with https://, so tls has no effect"


_RESERVED_HEADERS = frozenset(
    {
        *(
            "connection",
            "content-length",
            "expect",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
        ),
        *("cookie", "forwarded", "host", "proxy-authorization", "upgrade"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    }
)
"""Headers that frame a message, or that the gateway handles by rules of their own."""


def reserved_headers(draft: Draft) -> Iterator[Contradiction]:
    """`Authorization` is left to identity tokens, which upstreams may take as bearer tokens."""
    names = draft.config.headers
    for setting in ("principal_type", "request_id", "degraded"):
        header = getattr(names, setting)
        if header.lower() in _RESERVED_HEADERS | {"authorization"}:
            yield ("headers", setting), f"{header} has a meaning of its own; choose another header"
    for path, mutators in _inject_lists(draft):
        for place, mutator in enumerate(mutators):
            reserved = (
                _RESERVED_HEADERS
                if isinstance(mutator, IdentityTokenSettings)
                else _RESERVED_HEADERS | {"authorization"}
            )
            for header in mutator.owned:
                if header.lower() in reserved:
                    yield (*path, place), f"{header} cannot be injected; choose another header"


def repeated_headers(draft: Draft) -> Iterator[Contradiction]:
    names = draft.config.headers
    own = {names.principal_type.lower(): "headers.principal_type"}
    for setting, header in (("request_id", names.request_id), ("degraded", names.degraded)):
        user = own.setdefault(header.lower(), f"headers.{setting}")
        if user != f"headers.{setting}":
            yield ("headers", setting), f"{header} is already {user}"
    for path, mutators in _inject_lists(draft):
        taken = dict(own)
        for place, mutator in enumerate(mutators):
            for header in mutator.owned:
                user = taken.setdefault(header.lower(), f"injected by inject[{place}]")
                if user != f"injected by inject[{place}]":
                    yield (*path, place), f"{header} is already {user}"


def two_tokens_in_authorization(draft: Draft) -> Iterator[Contradiction]:
    for index, route in draft.routes:
        mutators = [each for each in _mutators(draft, route) if isinstance(each, IdentityTokenSettings)]
        if route.forward_token and any(each.identity_token.lower() == "authorization" for each in mutators):
            path = ("routes", index, "forward_token")
            yield path, "Authorization already carries the identity_token; inject that in another header"


def rewrites_that_never_apply(draft: Draft) -> Iterator[Contradiction]:
    for index, route in draft.routes:
        if route.rewrite is None:
            continue
        setting = "strip_prefix" if route.rewrite.strip_prefix is not None else "replace_prefix"
        prefix = route.rewrite.strip_prefix if route.rewrite.replace_prefix is None else route.rewrite.replace_prefix[0]
        literal = path_pattern(route.match.path).literal_prefix
        if not f"{literal}/".startswith(f"{prefix or ''}/"):
            message = f'"{prefix}" is not how every path of this route begins ("{literal or "/"}")'
            yield ("routes", index, "rewrite", setting), message


def repeated_addresses(draft: Draft) -> Iterator[Contradiction]:
    """Port 0 is any free port, so it never collides."""
    first: dict[str, int] = {}
    for index, listener in draft.listeners:
        if (listener.address.port or listener.address.path) and first.setdefault(str(listener.address), index) != index:
            address = str(listener.address)
            yield ("listen", index, "address"), f"{address} is already the address of listen[{first[address]}]"
    taken = {address: f"listen[{index}]" for address, index in first.items()}
    if draft.config.ops is not None and (address := str(draft.config.ops.address)) in taken:
        yield ("ops", "address"), f"{address} is already the address of {taken[address]}; metrics need one of their own"
    if draft.config.ops is not None:
        taken.setdefault(str(draft.config.ops.address), "ops")
    if draft.config.admin is not None and (address := str(draft.config.admin.address)) in taken:
        yield ("admin", "address"), f"{address} is already the address of {taken[address]}; it needs one of its own"


_CHECKS: tuple[Callable[[Draft], Iterator[Contradiction]], ...] = (
    unknown_upstreams,
    unknown_authenticators,
    routes_without_authenticators,
    repeated_route_ids,
    subjects_that_could_collide,
    identity_tokens_without_key,
    proxies_that_are_nearly_everybody,
    unverified_upstreams,
    tls_without_https,
    repeated_targets,
    reserved_headers,
    repeated_headers,
    two_tokens_in_authorization,
    rewrites_that_never_apply,
    repeated_addresses,
    revocation_without_state,
    new_tokens_that_nobody_makes,
    new_tokens_that_nobody_takes,
    refresh_tokens_that_are_never_taken,
    renewals_that_look_like_theft,
    headers_of_new_tokens,
    sessions_without_state,
    insecure_session_issuer,
    own_tokens_taken_for_anothers,
    insecure_alarm,
    shared_limits_without_redis,
    limits_of_callers_on_public_routes,
    repeated_limits,
)


def _inject_lists(draft: Draft) -> Iterator[tuple[SettingPath, tuple[MutatorSettings, ...]]]:
    """Yield each `inject` list in the file once, with its path."""
    yield ("inject",), draft.config.inject
    for index, route in draft.routes:
        yield ("routes", index, "inject"), route.inject or ()


def _mutators(draft: Draft, route: RouteSettings) -> tuple[MutatorSettings, ...]:
    """Return what a route injects."""
    if route.access == "public":
        return ()
    return draft.config.inject if route.inject is None else route.inject


def _issuers(draft: Draft, route: RouteSettings) -> frozenset[str]:
    """Return the issuers that a route accepts, as far as they are known."""
    configured = draft.config.authenticators
    names = configured if route.authenticators is None else route.authenticators
    issuers = (_issuer(draft, configured[name]) for name in names if name in configured)
    return frozenset(issuer for issuer in issuers if issuer is not None)


def _issuer(draft: Draft, settings: AuthenticatorSettings) -> str | None:
    if isinstance(settings, JwtSettings):
        return settings.issuer
    return None if draft.config.sessions is None else draft.config.sessions.issuer


def _injects(mutators: tuple[MutatorSettings, ...], claim: str) -> bool:
    return any((claim,) in _claims(mutator) for mutator in mutators)


def _claims(mutator: MutatorSettings) -> tuple[tuple[str, ...], ...]:
    if isinstance(mutator, ClaimHeader):
        return (mutator.claim,)
    return mutator.claims if isinstance(mutator, TemplateHeader) else ()
