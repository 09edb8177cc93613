"""Config to Snapshot: everything a request needs, made once. All mistakes are collected; no Snapshot is half made."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from gateway.config.compile_listeners import ServerTls, listener_tls
from gateway.config.compile_sessions import (
    ENDPOINTS,
    SessionParts,
    build_session_parts,
    own_cookies,
    own_routes,
    own_tokens,
    session_service,
    token_digest,
)
from gateway.config.compile_upstreams import UpstreamSpec, upstream_spec
from gateway.config.mistakes import SettingPath
from gateway.config.rate_limits import address_limits, caller_limits
from gateway.config.reuse import Built, Workshop
from gateway.config.schema import Config, Cors, Rewrite, RouteSettings
from gateway.config.sessions import access_cookie, resource_metadata_url
from gateway.engine.answer_contract import AnswerContract
from gateway.engine.cors import CorsPolicy
from gateway.engine.forwarding import Forwarding
from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.headers import HeaderContract
from gateway.engine.inline_tokens import InlineTokens
from gateway.engine.paths import host_pattern, path_pattern
from gateway.engine.rate_limits import RateLimits
from gateway.engine.routes import IndistinguishableRoutes, Route, RouteTable
from gateway.engine.sessions import SessionService
from gateway.engine.token_cookies import AccessCookie
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator
from gateway.mechanisms.base import BadSetting, Job, Mutator, OwnTokens, Resources
from gateway.mechanisms.fetch import control_tls
from gateway.mechanisms.files import Digests
from gateway.mechanisms.mutators import IdentityTokenSettings, MutatorSettings
from gateway.mechanisms.sources import TokenSourceSettings, token_source
from gateway.model.faces import Challenge
from gateway.model.upstream import Address, TargetAddress
from gateway.tokens.signing import SigningKey, UnusableKey, signing_key

ALWAYS_EXPOSED = ("WWW-Authenticate", "Retry-After")


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One ready configuration. A request takes one at the door and uses no other."""

    config: Config
    gatekeeper: Gatekeeper
    routes: RouteTable
    contract: HeaderContract
    answers: AnswerContract
    forwarding: Forwarding
    challenge: Challenge
    cors: CorsPolicy | None
    authenticators: Mapping[str, JwtAuthenticator]
    upstreams: Mapping[str, UpstreamSpec]
    listener_tls: Mapping[Address, ServerTls]
    identity_key: SigningKey | None
    own: OwnTokens | None
    sessions: SessionService | None
    session_parts: SessionParts | None
    """What the endpoints for sessions and the alarms are made of."""
    admin_token: bytes | None
    """SHA-256 of the token for the admin API."""
    built: Mapping[SettingPath, Built]
    """What the next Snapshot may take over."""
    files: Digests
    """What it was made from: a digest of every file that was read."""

    @property
    def jobs(self) -> dict[str, Job]:
        """The work in the background that the parts need, by name."""
        return {f"keys of {name}": each.job for name, each in self.authenticators.items() if each.job is not None}


class CompileMistakes(Exception):
    """Everything that kept a Config from becoming a Snapshot: (path, message) pairs."""

    def __init__(self, mistakes: list[tuple[SettingPath, str]]) -> None:
        super().__init__("; ".join(message for _, message in mistakes))
        self.mistakes = mistakes


@dataclass(slots=True)
class _Mistakes:
    found: list[tuple[SettingPath, str]] = field(default_factory=list)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Collect what goes wrong while the setting at `path` is built."""
        try:
            yield
        except BadSetting as error:
            self.found.append(((*path, *error.path), str(error)))
        except (UnusableKey, ssl.SSLError, ValueError, OSError) as error:
            self.found.append((path, str(error)))


def compile_config(
    config: Config,
    resources: Resources,
    endpoints_socket: Path = Path("/nonexistent"),
    previous: Snapshot | None = None,
) -> Snapshot:
    """Return the Snapshot of a Config. Reads the files it names, makes no network call. Raises CompileMistakes.

    `endpoints_socket` is where the gateway's own routes are served. Parts of the `previous` Snapshot that would be the
    same are taken over, with all that they remember, and so are the gateway's own keys.
    """
    mistakes = _Mistakes()
    parts = _build_parts(config, resources, mistakes, previous)
    resources = parts.workshop.resources
    _refuse_conflicts(config, mistakes)
    if mistakes.found:
        parts.discard()
        raise CompileMistakes(mistakes.found)
    parts.upstreams[ENDPOINTS] = UpstreamSpec(ENDPOINTS, (TargetAddress("http", Address(path=str(endpoints_socket))),))
    sessions = None if config.sessions is None else session_service(config.sessions, resources)
    own = own_routes(config, _cors(config.cors, config, None))
    routes = RouteTable([_route(settings, config, parts) for settings in config.routes], own)
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
        identity_key=parts.identity_key,
        own=resources.own,
        sessions=sessions,
        session_parts=parts.session_parts,
        admin_token=parts.admin_token,
        built=parts.workshop.built,
        files=resources.files.digests(),
    )


def compile_mistakes(config: Config, resources: Resources) -> list[tuple[SettingPath, str]]:
    """Return what would keep a Config from being compiled. The Config may lack items that are invalid by themselves."""
    mistakes = _Mistakes()
    _build_parts(config, resources, mistakes).discard()
    _refuse_conflicts(config, mistakes)
    return mistakes.found


@runtime_checkable
class Closeable(Protocol):
    """A part that holds threads."""

    def close(self) -> None: ...


@dataclass(slots=True)
class _Parts:
    """What is built from files and settings before the routes are."""

    workshop: Workshop
    identity_key: SigningKey | None = None
    admin_token: bytes | None = None
    authenticators: dict[str, JwtAuthenticator] = field(default_factory=dict)
    upstreams: dict[str, UpstreamSpec] = field(default_factory=dict)
    listener_tls: dict[Address, ServerTls] = field(default_factory=dict)
    session_parts: SessionParts | None = None

    def discard(self) -> None:
        """Let go of what nobody will use."""
        for part in self.workshop.new_parts():
            if isinstance(part, Closeable):
                part.close()


def _build_parts(config: Config, resources: Resources, mistakes: _Mistakes, previous: Snapshot | None = None) -> _Parts:
    resources = replace(resources, insecure=frozenset(config.insecure), own=None)
    if config.sessions is not None:
        keys = None if previous is None or previous.own is None else previous.own.keys
        with mistakes.at("sessions"):
            resources.own = own_tokens(config.sessions, resources, keys)
    parts = _Parts(Workshop(resources, {} if previous is None else previous.built))
    parts.identity_key = _identity_key(config, resources, mistakes)
    if config.admin is not None and config.admin.token_file is not None:
        with mistakes.at("admin", "token_file"):
            parts.admin_token = token_digest(resources.read(config.admin.token_file))
    if config.fetch.ca is not None:
        with mistakes.at("fetch", "ca"):
            with resources.steady(config.fetch.ca):
                control_tls(resources.directory / config.fetch.ca)
    if config.sessions is not None:
        parts.session_parts = build_session_parts(config.sessions, parts.workshop, mistakes.at)
    for name, settings in config.authenticators.items():
        if isinstance(settings, IssuedSettings) and config.sessions is not None and resources.own is None:
            continue  # what is wrong with the sessions has been told
        with mistakes.at("authenticators", name):
            parts.authenticators[name] = _authenticator(name, settings, parts.workshop)
    for name, upstream in config.upstreams.items():
        with mistakes.at("upstreams", name, "tls"):
            place = "upstreams", name
            parts.upstreams[name] = parts.workshop.part(
                place, upstream, partial(upstream_spec, name, upstream, resources)
            )
    for index, listener in enumerate(config.listen):
        if listener.tls is not None:
            with mistakes.at("listen", index, "tls"):
                place = "listen", str(listener.address)
                parts.listener_tls[listener.address] = parts.workshop.part(
                    place, listener.tls, partial(listener_tls, listener.tls, resources)
                )
    return parts


def _authenticator(name: str, settings: AuthenticatorSettings, workshop: Workshop) -> JwtAuthenticator:
    """Return the former authenticator where nothing it depends on has changed, else a new one.

    What the former remembers of tokens was verified under its settings. What it has fetched is another matter.
    """
    resources, place = workshop.resources, ("authenticators", name)
    depends_on: object = resources.own if isinstance(settings, IssuedSettings) else resources.fetch
    context = resources.insecure, depends_on
    authenticator = workshop.part(place, settings, partial(_built_authenticator, name, settings, resources), *context)
    former = workshop.former_part(place, *context)
    if isinstance(former, JwtAuthenticator) and former is not authenticator:
        authenticator.inherit(former)
    return authenticator


def _built_authenticator(name: str, settings: AuthenticatorSettings, resources: Resources) -> JwtAuthenticator:
    return settings.build(name, resources)


def _refuse_conflicts(config: Config, mistakes: _Mistakes) -> None:
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


def _identity_key(config: Config, resources: Resources, mistakes: _Mistakes) -> SigningKey | None:
    if config.identity is None:
        return None
    with mistakes.at("identity", "key_file"):
        return signing_key(resources.read(config.identity.key_file))
    return None


def _route(settings: RouteSettings, config: Config, parts: _Parts) -> Route:
    looks_at_tokens = settings.access != "public"
    inject = (config.inject if settings.inject is None else settings.inject) if looks_at_tokens else ()
    vouchers = settings.authenticators or tuple(parts.authenticators)
    timeouts = settings.timeouts or config.upstreams[settings.upstream].timeouts
    revocation = settings.revocation or config.revocation
    limits = config.rate_limits if settings.rate_limits is None else settings.rate_limits
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
        address_limits=address_limits(limits, settings.id),
        caller_limits=caller_limits(limits, settings.id) if looks_at_tokens else (),
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
