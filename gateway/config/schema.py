"""The shape of the configuration file: one frozen model per section.

A setting of a mechanism (token source, authenticator, policy, mutator) lives beside the mechanism; this file holds
what is left.
"""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from gateway.config.admin import Admin
from gateway.config.limits import Limits, Timeouts
from gateway.config.listeners import ListenAddress, Listener
from gateway.config.names import Name
from gateway.config.rate_limits import RateLimitSettings
from gateway.config.sessions import SessionsSettings
from gateway.config.text import from_text
from gateway.config.upstreams import UpstreamSettings, UpstreamTimeouts
from gateway.engine.paths import host_pattern, path_pattern
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.fetch import FetchSettings
from gateway.mechanisms.mutators import MutatorSettings
from gateway.mechanisms.policies import PolicySettings
from gateway.mechanisms.sources import TokenSourceSettings
from gateway.model.settings import ByteSize, FilePath, HeaderName, OriginOrAny, Seconds, Settings
from gateway.state.opening import StateSettings
from gateway.telemetry.log_settings import LogSettings
from gateway.telemetry.trace_settings import TraceSettings


def _parse_network(text: str) -> IPv4Network | IPv6Network | Literal["unix"]:
    if text == "unix":
        return "unix"
    try:
        network = ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f'"{text}" is not a network; write 10.0.0.0/8, fd00::/8 or unix') from error
    if "/" in text and ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f'"{text}" is an address within a network; did you mean "{network}"?')
    return network


InsecureName = Literal[
    "trust_every_proxy",
    "http_issuer",
    "http_login",
    "http_alarm",
    "no_audience",
    "short_hmac_key",
    "weak_rsa_key",
    "unverified_upstream_tls",
]


class Ops(Settings):
    """Metrics and health, on an address of their own: keep it private."""

    address: ListenAddress
    """`127.0.0.1:9090` or `unix:/run/gateway-ops.sock`."""


class Match(Settings):
    """Which requests a route takes. The most specific route wins, wherever it stands in the file."""

    path: Annotated[str, Field(min_length=1)]
    """`/orders` (exactly), `/orders/{id}` (one segment), `/orders/**` (that path and everything below)."""
    hosts: tuple[str, ...] = ()
    """`api.example.com`, or `*.example.com` (one or more labels). Without it, any host."""
    methods: (
        Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Z]+(?:-[A-Z]+)*$")], ...], Field(min_length=1)] | None
    ) = None
    """`[GET, POST]`. Without it, any method. GET takes HEAD along."""

    @model_validator(mode="after")
    def _patterns_are_valid(self) -> Self:
        path_pattern(self.path)
        for host in self.hosts:
            host_pattern(host)
        return self


class Cors(Settings):
    """Cross-origin requests from browsers."""

    origins: Annotated[tuple[OriginOrAny, ...], Field(min_length=1)]
    """Origins that may read answers: `https://app.example.com`, or `*` for any (then without credentials)."""
    credentials: bool = False
    """Allow cookies and `Authorization` set by the browser (`Access-Control-Allow-Credentials`)."""
    preflight: Literal["answer", "pass"] = "answer"
    """`answer`: the gateway answers preflights and marks the upstream's answers.

    `pass`: the upstream does both; preflights reach it without a token.
    """
    methods: tuple[str, ...] = ()
    """Methods that a preflight allows. Without it, the route's own methods, or the one asked for."""
    headers: tuple[str, ...] = ("Authorization", "Content-Type")
    """Request headers that a preflight allows."""
    expose: tuple[str, ...] = ()
    """Answer headers that scripts may read, beside `WWW-Authenticate`, `Retry-After` and `X-Request-ID`."""
    max_age: Seconds = 600
    """How long a browser may remember a preflight."""

    @model_validator(mode="after")
    def _no_credentials_for_everyone(self) -> Self:
        if "*" in self.origins and self.credentials:
            raise ValueError('credentials need a list of origins, not "*"')
        return self


def _canonical_prefix(prefix: str) -> str:
    if prefix in ("", "/"):
        return ""
    pattern = path_pattern(prefix.removesuffix("/"))
    if pattern.rest or None in pattern.segments:
        raise ValueError(f'"{prefix}" must be a plain path, without {{…}} and **')
    return pattern.literal_prefix


PathPrefix = Annotated[str, AfterValidator(_canonical_prefix)]
"""A plain path, in canonical form and without its last slash."""


class Rewrite(Settings):
    """What becomes of the path on the way to the upstream. Exactly one of the two."""

    strip_prefix: PathPrefix | None = None
    """`/api`: `/api/orders` becomes `/orders`."""
    replace_prefix: tuple[PathPrefix, PathPrefix] | None = None
    """`[/api, /v2]`: `/api/orders` becomes `/v2/orders`."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.strip_prefix is None) == (self.replace_prefix is None):
            raise ValueError("needs exactly one of strip_prefix, replace_prefix")
        return self


class RevocationSettings(Settings):
    """What becomes of callers when the news of revocations is old, because the store cannot be reached."""

    max_staleness: Annotated[Seconds, Field(gt=0)] = 30
    """How old the news may be."""
    when_stale: Literal["closed", "open", "hybrid"] = "closed"
    """Beyond that: `closed`: nobody passes (503), and what is under way ends. `open`: requests pass, marked for the
    upstream (`headers.degraded`). `hybrid`: so do GET and HEAD without upgrade; nothing else."""


class RouteSettings(Settings):
    """One route: which requests, who may send them, what the upstream is told, and where they go."""

    id: Name
    """The route's name in logs and metrics."""
    match: Match
    """Which requests it takes."""
    upstream: Name
    """Where they go."""
    access: Literal["protected", "optional", "public"] = "protected"
    """`protected`: a token is required. `optional`: none is fine, a bad one is refused. `public`: none is looked at."""
    authenticators: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Who may vouch for the caller. May be left out while the configuration has only one authenticator."""
    token_from: Annotated[tuple[TokenSourceSettings, ...], Field(min_length=1)] | None = None
    """Where the token is; `token_from` of the configuration by default."""
    allow_several_credentials: bool = False
    """Take the first source of `token_from` that has a token, instead of refusing a request with two (400)."""
    require: tuple[PolicySettings, ...] = ()
    """What must hold beside a valid token: all of it."""
    inject: tuple[MutatorSettings, ...] | None = None
    """What the upstream is told about the caller; `inject` of the configuration by default."""
    subject_without_issuer: bool = False
    """Allow injecting `sub` alone although several issuers are accepted, whose subjects could collide."""
    forward_token: bool = False
    """Let the client's token reach the upstream."""
    rewrite: Rewrite | None = None
    """What becomes of the path."""
    encoded_slashes: bool = False
    """Allow `%2F` and `%5C` in the path; they are forwarded as they are and never separate segments. Otherwise 400,
    also where they would lead to a route with other rules if they did."""
    upgrades: tuple[Annotated[str, Field(pattern=r"^[a-z0-9!#$%&'*+.^_`|~/-]+$")], ...] = ("websocket",)
    """Protocols that a connection may be upgraded to; `h2c` never."""
    cors: Cors | None = None
    """Cross-origin requests from browsers; `cors` of the configuration by default."""
    body_bytes: ByteSize | None = None
    """Length of a request body (413); `limits.body_bytes` by default."""
    timeouts: UpstreamTimeouts | None = None
    """How long the upstream may take on this route; the upstream's own `timeouts` by default."""
    expiry_grace: Seconds | None = None
    """How long streams and upgraded connections go on when their token has expired; `timeouts.expiry_grace` by default.
    An answer with a `Content-Length` is always sent to its end."""
    revocation: RevocationSettings | None = None
    """What becomes of callers when the news of revocations is old; `revocation` of the configuration by default."""
    rate_limits: tuple[RateLimitSettings, ...] | None = None
    """How often a client may ask on this route (429 beyond); `rate_limits` of the configuration by default. `[]`: as
    often as it likes."""
    renew: Literal["never", "header"] = "never"
    """`header`: when one of the gateway's own access tokens has less than `sessions.access.renew_below` of its life
    left, the answer carries a new one in `X-Access-Token`; in `sessions.cookies.access` if it came in that cookie."""
    refresh_inline: bool = False
    """Take a refresh token in `Authorization` in place of an access token: exchange it, go on with the new access
    token, and answer with the new pair in `X-Access-Token` and `X-Refresh-Token`."""

    @property
    def makes_tokens(self) -> bool:
        """Whether answers may carry new tokens."""
        return self.renew != "never" or self.refresh_inline

    @model_validator(mode="after")
    def _refresh_token_stays_here(self) -> Self:
        if self.refresh_inline and self.forward_token:
            raise ValueError("a refresh token never reaches an upstream: refresh_inline cannot go with forward_token")
        return self

    @model_validator(mode="after")
    def _public_has_no_caller(self) -> Self:
        if self.access == "public" and self.makes_tokens:
            raise ValueError("a public route looks at no token, so it cannot have renew or refresh_inline")
        if self.access == "public":
            for name in ("authenticators", "token_from", "require", "inject", "revocation", "expiry_grace"):
                if getattr(self, name):
                    raise ValueError(
                        f"a public route looks at no token, so it cannot have {name}; use access: optional or protected"
                    )
        if self.access == "optional" and self.require:
            raise ValueError("an optional route lets anonymous callers pass, so it cannot have require")
        if "h2c" in self.upgrades:
            raise ValueError("h2c is never proxied (it would carry requests past the gateway)")
        return self


class HeaderNames(Settings):
    """Names of the headers that the gateway itself sets."""

    principal_type: HeaderName = "X-Principal-Type"
    """To the upstream, wherever something about the caller is injected: `user` or `client` (RFC 9700 §4.15)."""
    request_id: HeaderName = "X-Request-ID"
    """To the upstream, and to the client with refusals."""
    degraded: HeaderName = "X-Auth-Degraded"
    """To the upstream: `1` where a request passed although revocations may have been missed."""
    access_token: HeaderName = "X-Access-Token"  # noqa: S105 - the name of a header
    """To the client, on routes with `renew` or `refresh_inline`: a new access token."""
    refresh_token: HeaderName = "X-Refresh-Token"  # noqa: S105 - the name of a header
    """To the client, on routes with `refresh_inline`: the new refresh token."""


class Identity(Settings):
    """The key that signs identity tokens for upstreams."""

    issuer: Annotated[str, Field(pattern=r"^https?://[!-~]+$")]
    """The `iss` of identity tokens."""
    key_file: FilePath
    """A private key in PEM: Ed25519, P-256, P-384, P-521, or RSA of at least 2048 bits."""
    other_keys: tuple[FilePath, ...] = ()
    """Keys in PEM, private or public, that are published beside it and sign nothing: the next one before it signs, and
    the one before until what it has signed is forgotten."""
    jwks_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9._~/-]+$")] = "/.well-known/gateway-identity-jwks.json"
    """Where the public key is served, on every listener."""


Network = Annotated[
    IPv4Network | IPv6Network | Literal["unix"],
    PlainValidator(from_text(_parse_network)),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "description": "A network or an address, or `unix` for peers on Unix sockets"}),
]
"""`10.0.0.0/8`, `2001:db8::/32`, a single address, or `unix` for peers on Unix sockets."""


class Config(Settings):
    """The whole configuration."""

    version: Literal[1] = 1
    """The version of this format."""
    listen: Annotated[tuple[Listener, ...], Field(min_length=1)]
    """Where requests come in."""
    ops: Ops | None = None
    """Metrics and health; off without it."""
    admin: Admin | None = None
    """The admin API; off without it."""
    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = 1
    """Processes that serve: 1, more, or `auto` (one for each CPU that the gateway may use). Other than 1, a small
    parent holds the sockets, replaces workers that die, and restarts them one after the other on SIGUSR2. Limits, pools
    and caches are those of each worker."""
    state: StateSettings | None = None
    """Where sessions and revocations are kept."""
    sessions: SessionsSettings | None = None
    """Sessions: the gateway logs users in, issues tokens, exchanges and revokes them. Needs `state`."""
    realm: Annotated[str, Field(pattern=r"^[ !#-\[\]-~]+$")] = "gateway"
    """The realm in `WWW-Authenticate` (RFC 9110 §11.5)."""
    resource_metadata: Annotated[str, Field(pattern=r"^https?://[!#-\[\]-~]+$")] | None = None
    """The `resource_metadata` of `WWW-Authenticate`: where clients learn who issues tokens (RFC 9728 §5.1)."""
    trusted_proxies: tuple[Network, ...] = ()
    """Peers whose `X-Forwarded-*`, `Forwarded`, `X-Request-ID` and `traceparent` are believed: networks, or `unix`."""
    insecure: frozenset[InsecureName] = frozenset()
    """Weaknesses that this configuration accepts, by name. What is insecure and not named here is refused at start."""
    headers: HeaderNames = HeaderNames()
    """Names of the headers that the gateway itself sets."""
    limits: Limits = Limits()
    """Bounds on what a client may send."""
    timeouts: Timeouts = Timeouts()
    """How long a client may take."""
    reload: Literal["watch", "signal"] = "watch"
    """When this file and the files it names are read again. `watch`: when they change, and on SIGHUP. `signal`: on
    SIGHUP only. What cannot be used is told, and changes nothing."""
    log: LogSettings = LogSettings()
    """Logs."""
    traces: TraceSettings | None = None
    """Traces for OpenTelemetry; none without it."""
    identity: Identity | None = None
    """Signed identity tokens for upstreams."""
    token_from: Annotated[tuple[TokenSourceSettings, ...], Field(min_length=1)] = ("authorization",)
    """Where tokens are looked for, unless a route says otherwise."""
    inject: tuple[MutatorSettings, ...] = ()
    """What upstreams are told about the caller, unless a route says otherwise."""
    cors: Cors | None = None
    """Cross-origin requests from browsers, unless a route says otherwise."""
    revocation: RevocationSettings = RevocationSettings()
    """What becomes of callers when the news of revocations is old, unless a route says otherwise. Needs `state`."""
    rate_limits: tuple[RateLimitSettings, ...] = ()
    """How often a client may ask on each route (429 beyond), unless the route says otherwise. On public routes only
    those by `client_address` count. Not for the gateway's own endpoints: `sessions.rate_limits` is."""
    fetch: FetchSettings = FetchSettings()
    """How the keys of issuers are fetched."""
    authenticators: dict[Name, AuthenticatorSettings] = {}
    """Who may vouch for a caller, by name."""
    upstreams: Annotated[dict[Name, UpstreamSettings], Field(min_length=1)]
    """The services behind the gateway, by name."""
    routes: Annotated[tuple[RouteSettings, ...], Field(min_length=1)]
    """Which requests pass. What no route matches is 404."""
