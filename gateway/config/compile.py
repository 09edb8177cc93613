"""Config to Snapshot: everything a request needs, made once. All mistakes are collected; no Snapshot is half made."""

from collections.abc import Iterator
from dataclasses import replace

from gateway.config.compile_parts import Collected, Parts, build_parts
from gateway.config.compile_sessions import ENDPOINTS, own_cookies, own_routes, own_upstream, session_service
from gateway.config.compile_upstreams import ConnectInside, nobody_inside
from gateway.config.mistakes import SettingPath
from gateway.config.rate_limits import address_limits, caller_limits
from gateway.config.schema import Config, Cors, Rewrite, RouteSettings
from gateway.config.sessions import access_cookie, resource_metadata_url
from gateway.config.snapshot import Snapshot
from gateway.engine.answer_contract import AnswerContract
from gateway.engine.cors import CorsPolicy
from gateway.engine.forwarding import Forwarding
from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.headers import HeaderContract
from gateway.engine.inline_tokens import InlineTokens
from gateway.engine.paths import host_pattern, path_pattern
from gateway.engine.rate_limits import RateLimits
from gateway.engine.routes import IndistinguishableRoutes, Route, RouteTable
from gateway.engine.token_cookies import AccessCookie
from gateway.mechanisms.base import Mutator, Resources
from gateway.mechanisms.mutators import IdentityTokenSettings, MutatorSettings
from gateway.mechanisms.sources import TokenSourceSettings, token_source
from gateway.model.faces import Challenge
from gateway.tokens.signing import SigningKey

ALWAYS_EXPOSED = ("WWW-Authenticate", "Retry-After")


class CompileMistakes(Exception):
    """Everything that kept a Config from becoming a Snapshot: (path, message) pairs."""

    def __init__(self, mistakes: list[tuple[SettingPath, str]]) -> None:
        super().__init__("; ".join(message for _, message in mistakes))
        self.mistakes = mistakes


def compile_config(
    config: Config,
    resources: Resources,
    endpoints: ConnectInside = nobody_inside,
    previous: Snapshot | None = None,
) -> Snapshot:
    """Return the Snapshot of a Config. Reads the files it names, makes no network call. Raises CompileMistakes.

    `endpoints` connects to what serves the gateway's own routes. Parts of the `previous` Snapshot that would be the
    same are taken over, with all that they remember, and so are the gateway's own keys.
    """
    mistakes = Collected()
    former = {} if previous is None else previous.built
    keys = None if previous is None or previous.own is None else previous.own.keys
    parts = build_parts(config, resources, mistakes, former, keys)
    resources = parts.workshop.resources
    _refuse_conflicts(config, mistakes)
    if mistakes.found:
        parts.discard()
        raise CompileMistakes(mistakes.found)
    parts.upstreams[ENDPOINTS] = own_upstream(endpoints)
    sessions = None if config.sessions is None else session_service(config.sessions, resources)
    own = own_routes(config, _cors(config.cors, config, None))
    routes = RouteTable(
        _routes(config, parts),
        [replace(route, tally=resources.tally(route.id)) for route in own],
    )
    forwarding = Forwarding(config.trusted_proxies, config.headers.request_id)
    return Snapshot(
        config=config,
        gatekeeper=Gatekeeper(
            routes,
            resources.clock,
            token_bytes=config.limits.token_bytes,
            identity_bytes=config.limits.identity_bytes,
            principal_type_header=config.headers.principal_type,
            degraded_header=config.headers.degraded,
            revocations=None if resources.state is None else resources.state.view,
            inline=None if sessions is None else InlineTokens(sessions, forwarding, _own_access_cookie(config)),
            limits=None if resources.rates is None else RateLimits(resources.rates, forwarding),
        ),
        routes=routes,
        contract=_contract(config, routes),
        answers=_answer_contract(config),
        forwarding=forwarding,
        challenge=Challenge(config.realm, _resource_metadata(config)),
        cors=_cors(config.cors, config, None),
        authenticators=parts.authenticators,
        upstreams=parts.upstreams,
        listener_tls=parts.listener_tls,
        identity_jwks=parts.identity_jwks,
        own=resources.own,
        sessions=sessions,
        session_parts=parts.sessions,
        admin=parts.admin,
        trace_headers=parts.trace_headers,
        built=parts.workshop.built,
        files=resources.files.digests(),
    )


def compile_mistakes(config: Config, resources: Resources) -> list[tuple[SettingPath, str]]:
    """Return what would keep a Config from being compiled. The Config may lack items that are invalid by themselves."""
    mistakes = Collected()
    build_parts(config, resources, mistakes, {}).discard()
    _refuse_conflicts(config, mistakes)
    return mistakes.found


def _refuse_conflicts(config: Config, mistakes: Collected) -> None:
    """Find the routes that can never be told apart, from each other or from the gateway's own."""
    own_paths = {route.path for route in own_routes(config)}
    distinct: list[tuple[int, Route]] = []
    for index, settings in enumerate(config.routes):
        route = _bare_route(settings)
        if route.path in own_paths:
            message = f'"{settings.match.path}" is a route of the gateway itself'
            mistakes.found.append((("routes", index, "match", "path"), message))
        distinct.append((index, route))
    while True:
        try:
            RouteTable(route for _, route in distinct)
        except IndistinguishableRoutes as conflict:
            [index] = [index for index, route in distinct if route is conflict.second]
            mistakes.found.append((("routes", index, "match"), str(conflict)))
            distinct = [each for each in distinct if each[1] is not conflict.second]
        else:
            return


def _bare_route(settings: RouteSettings) -> Route:
    """Return a route that only knows which requests it takes."""
    return Route(
        id=settings.id,
        path=path_pattern(settings.match.path),
        upstream=settings.upstream,
        hosts=tuple(host_pattern(host) for host in settings.match.hosts),
        methods=settings.match.methods,
    )


def _routes(config: Config, parts: Parts) -> Iterator[Route]:
    """Yield the routes. Those that do the same with a request have in common whatever that takes.

    So thousands of routes ask little more of the processor's caches than a few.
    """
    alike: dict[str, Route] = {}
    for settings in config.routes:
        # Texts and not values: as values, 1 and true are equal.
        does = repr([(name, value) for name, value in settings if name not in {"id", "match"}])
        key = f"{settings.match.methods} {does}"
        if key not in alike:
            alike[key] = _route(settings, config, parts)
        yield _like(alike[key], settings, config, parts.workshop.resources)


def _like(route: Route, settings: RouteSettings, config: Config, resources: Resources) -> Route:
    """Return a route that does the same with the requests that it takes, but counts them for itself."""
    bare = _bare_route(settings)
    limits = config.rate_limits if settings.rate_limits is None else settings.rate_limits
    return replace(
        route,
        id=bare.id,
        path=bare.path,
        hosts=bare.hosts,
        methods=bare.methods,
        address_limits=address_limits(limits, settings.id),
        caller_limits=caller_limits(limits, settings.id) if settings.access != "public" else (),
        tally=resources.tally(settings.id),
    )


def _route(settings: RouteSettings, config: Config, parts: Parts) -> Route:
    looks_at_tokens = settings.access != "public"
    inject = (config.inject if settings.inject is None else settings.inject) if looks_at_tokens else ()
    vouchers = settings.authenticators or tuple(parts.authenticators)
    timeouts = settings.timeouts or config.upstreams[settings.upstream].timeouts
    revocation = settings.revocation or config.revocation
    return replace(
        _bare_route(settings),
        access=settings.access,
        sources=tuple(token_source(source) for source in _sources(settings, config)) if looks_at_tokens else (),
        authenticators=tuple(parts.authenticators[name] for name in vouchers) if looks_at_tokens else (),
        allow_several_credentials=settings.allow_several_credentials,
        policies=settings.require,
        mutators=tuple(_mutator(mutator, config, parts.identity_key) for mutator in inject),
        inject_key=_inject_key(inject, config, parts.identity_key),
        forward_token=settings.forward_token,
        rewrite=_rewrite(settings.rewrite),
        encoded_slashes=settings.encoded_slashes,
        upgrades=frozenset(protocol.encode() for protocol in settings.upgrades),
        cors=_cors(settings.cors or config.cors, config, settings),
        body_bytes=config.limits.body_bytes if settings.body_bytes is None else settings.body_bytes,
        first_byte_timeout=timeouts.first_byte,
        idle_timeout=timeouts.idle,
        expiry_grace=config.timeouts.expiry_grace if settings.expiry_grace is None else settings.expiry_grace,
        max_staleness=revocation.max_staleness,
        when_stale=revocation.when_stale,
        renew_below=_renew_below(settings, config),
        refresh_inline=settings.refresh_inline,
    )


def _own_access_cookie(config: Config) -> AccessCookie | None:
    return None if config.sessions is None else access_cookie(config.sessions)


def _renew_below(settings: RouteSettings, config: Config) -> float:
    return 0 if settings.renew == "never" or config.sessions is None else config.sessions.access.renew_below


def _sources(settings: RouteSettings, config: Config) -> tuple[TokenSourceSettings, ...]:
    return settings.token_from or config.token_from


def _inject_key(inject: tuple[MutatorSettings, ...], config: Config, key: SigningKey | None) -> str:
    """Return a text that is the same for routes that inject the same, now and after a reload."""
    signer = "" if config.identity is None or key is None else f"{config.identity.issuer} {key.kid}"
    limit = str(config.limits.identity_bytes)
    return "\n".join((config.headers.principal_type, limit, signer, *(mutator.model_dump_json() for mutator in inject)))


def _mutator(settings: MutatorSettings, config: Config, key: SigningKey | None) -> Mutator:
    if isinstance(settings, IdentityTokenSettings):
        assert config.identity is not None
        assert key is not None
        return settings.build(config.identity.issuer, key)
    return settings


def _rewrite(rewrite: Rewrite | None) -> tuple[str, str] | None:
    if rewrite is None:
        return None
    return rewrite.replace_prefix or (rewrite.strip_prefix or "", "")


def _cors(settings: Cors | None, config: Config, route: RouteSettings | None) -> CorsPolicy | None:
    if settings is None:
        return None
    methods = settings.methods or (route.match.methods if route is not None else None) or ()
    names = config.headers
    issued = (names.access_token, names.refresh_token) if route is not None and route.makes_tokens else ()
    return CorsPolicy(
        origins=frozenset(settings.origins),
        credentials=settings.credentials,
        answers_preflight=settings.preflight == "answer",
        methods=methods,
        headers=settings.headers,
        expose=tuple(dict.fromkeys((*ALWAYS_EXPOSED, names.request_id, *issued, *settings.expose))),
        max_age=int(settings.max_age),
    )


def _resource_metadata(config: Config) -> str | None:
    if config.resource_metadata is not None or config.sessions is None:
        return config.resource_metadata
    return resource_metadata_url(config.sessions)


def _contract(config: Config, table: RouteTable) -> HeaderContract:
    injected = {name for route in table.routes for mutator in route.mutators for name in mutator.owned}
    sources = [token_source(source) for route in config.routes for source in _sources(route, config)]
    return HeaderContract(
        {*injected, config.headers.principal_type, config.headers.request_id, config.headers.degraded},
        [source.credentials for source in sources],
        own_cookies(config),
    )


def _answer_contract(config: Config) -> AnswerContract:
    if config.sessions is None:
        return AnswerContract()
    return AnswerContract((config.headers.access_token, config.headers.refresh_token), own_cookies(config))
