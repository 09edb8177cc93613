"""Callers proven by the JWTs of one issuer (RFC 7519, RFC 9068)."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gateway.mechanisms.authenticators.principals import Principals
from gateway.mechanisms.base import BadSetting, Fetch, FetchFailed, Job, Resources
from gateway.model.bounded import Bounded
from gateway.model.decision import Pending
from gateway.model.errors import ExpiredToken
from gateway.model.principal import Claims, Principal
from gateway.model.settings import ByteSize, FilePath, Seconds, Settings
from gateway.tokens.cache import TokenCache
from gateway.tokens.jose import Jws, peek_issuer, read_jws
from gateway.tokens.key_documents import BadKey, KeyRules, key_from_pem, key_from_secret, read_jwks, secret_in
from gateway.tokens.keys import Key, KeySet, KeySource
from gateway.tokens.remote_keys import Discovery, FixedLocation, RemoteKeys, SourceFailed, Timing
from gateway.tokens.verify import Expectations, check_claims, check_header, find_signer, media_type

AlgorithmName = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]
Name = Annotated[str, Field(min_length=1)]

KEY_SETTINGS = ("jwks_file", "pem_file", "secret_file", "jwks_uri", "discovery")
REMOTE_SETTINGS = ("refresh_interval", "cooldown", "max_stale")


class JwtSettings(Settings):
    """Tokens of one issuer: signed JWTs, checked here. Exactly one of the five key settings says where its keys are."""

    type: Literal["jwt"]
    """The kind of authenticator."""
    issuer: Name
    """The exact value of `iss`. An https URL, unless `http_issuer` is accepted as insecure."""
    audiences: tuple[Name, ...]
    """What `aud` must name at least one of: this API. Empty only if `no_audience` is accepted as insecure."""
    algorithms: Annotated[tuple[AlgorithmName, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256", "EdDSA")
    """The accepted values of `alg`; each key is also bound to its own. HMAC (`HS…`) must be named, and never mixed."""
    jwks_file: FilePath | None = None
    """Keys from a file with a JWK set."""
    pem_file: FilePath | None = None
    """One key from a file with a PEM public key or certificate. It fits tokens with any `kid`."""
    secret_file: FilePath | None = None
    """An HMAC secret: the bytes of the file, without a final line break. HS256, HS384, HS512 need 32, 48, 64 bytes."""
    jwks_uri: str | None = None
    """Keys from a JWK set that the issuer publishes under this URL."""
    discovery: bool = False
    """Keys from the `jwks_uri` in the issuer's metadata, `<issuer>/.well-known/openid-configuration`."""
    refresh_interval: Annotated[Seconds, Field(ge=10)] = 600
    """How often published keys are fetched again."""
    cooldown: Annotated[Seconds, Field(ge=1)] = 30
    """The least time between fetches caused by tokens with an unknown `kid`."""
    max_stale: Seconds = 86400
    """How long the last good keys serve while the issuer cannot be reached."""
    leeway: Annotated[Seconds, Field(le=300)] = 5
    """How far the issuer's clock may be off."""
    required_claims: tuple[Name, ...] = ("iat",)
    """Claims that must be there and not null, besides `iss`, `sub`, `exp` and `aud`."""
    max_lifetime: Annotated[Seconds, Field(gt=0)] = 86400
    """The longest accepted time from `iat` (without it, from now) to `exp`."""
    typ: Annotated[tuple[Name, ...], Field(min_length=1)] = ("at+jwt",)
    """The accepted values of the `typ` header. Many issuers write `JWT`; the word `absent` accepts tokens without."""
    strict_audience: bool = False
    """Accept only tokens whose one and only audience is in `audiences`."""
    cache_entries: Annotated[int, Field(ge=0)] = 10_000
    """How many verified tokens are remembered by each process."""
    cache_bytes: ByteSize = 16 * 1024 * 1024
    """How long the remembered tokens may be together."""

    @model_validator(mode="after")
    def _no_contradictions(self) -> Self:
        if len(self._key_settings()) != 1:
            raise ValueError(f"exactly one of {', '.join(KEY_SETTINGS)} is needed")
        if not self._is_remote() and (useless := self.model_fields_set.intersection(REMOTE_SETTINGS)):
            raise ValueError(f"{', '.join(sorted(useless))}: only for jwks_uri and discovery")
        symmetric = {algorithm.startswith("HS") for algorithm in self.algorithms}
        if len(symmetric) == 2:
            raise ValueError("algorithms: HMAC cannot be mixed with signatures; use two authenticators")
        if True in symmetric and not (self.secret_file or self.jwks_file):
            raise ValueError("algorithms: HMAC needs a secret_file or a jwks_file")
        if False in symmetric and self.secret_file:
            raise ValueError("secret_file: only for HMAC; name HS256, HS384 or HS512 in algorithms")
        return self

    def build(self, name: str, resources: Resources) -> "JwtAuthenticator":
        """Return the authenticator. Raises BadSetting."""
        self._refuse_weaknesses(resources.insecure)
        cache = TokenCache(self.cache_entries, self.cache_bytes)
        remote = self._is_remote()
        keys: KeySource = self._remote_keys(name, resources, cache) if remote else self._local_keys(resources)
        return JwtAuthenticator(name, keys, self.expectations(), cache)

    def expectations(self) -> Expectations:
        return Expectations(
            issuer=self.issuer,
            audiences=frozenset(self.audiences),
            algorithms=frozenset(self.algorithms),
            types=frozenset(None if typ == "absent" else media_type(typ) for typ in self.typ),
            leeway=self.leeway,
            required_claims=self.required_claims,
            max_lifetime=self.max_lifetime,
            strict_audience=self.strict_audience,
        )

    def _key_settings(self) -> list[str]:
        return [name for name in KEY_SETTINGS if getattr(self, name)]

    def _is_remote(self) -> bool:
        return self.jwks_uri is not None or self.discovery

    def _refuse_weaknesses(self, accepted: frozenset[str]) -> None:
        if not self.audiences and "no_audience" not in accepted:
            raise BadSetting(
                "without an audience, tokens meant for other services would pass; "
                "name one, or accept it: insecure: [no_audience]",
                ("audiences",),
            )
        for setting in ("issuer", "jwks_uri"):
            url = getattr(self, setting)
            if url is not None and "http_issuer" not in accepted and not url.startswith("https://"):
                raise BadSetting(
                    "not an https URL, so keys can be forged on the way; or accept it: insecure: [http_issuer]",
                    (setting,),
                )

    def _local_keys(self, resources: Resources) -> KeySet:
        [setting] = self._key_settings()
        content = resources.read(getattr(self, setting), setting)
        rules = _rules(resources.insecure, symmetric=True)
        try:
            keys = _READERS[setting](content, rules)
        except BadKey as error:
            raise BadSetting(str(error), (setting,)) from error
        usable = {algorithm for key in keys.keys for algorithm in key.algorithms}
        needed = set(self.algorithms)
        if not usable & needed:
            raise BadSetting(f"holds no key for {', '.join(self.algorithms)}", (setting,))
        if self.secret_file and (short := needed - usable):
            raise BadSetting(f"the secret is too short for {', '.join(sorted(short))}", (setting,))
        return keys

    def location(self, insecure: frozenset[str]) -> FixedLocation | Discovery:
        """Return where the keys are that are fetched."""
        return FixedLocation(self.jwks_uri) if self.jwks_uri else Discovery(self.issuer, "http_issuer" in insecure)

    def _remote_keys(self, name: str, resources: Resources, cache: TokenCache) -> RemoteKeys:
        return RemoteKeys(
            self.location(resources.insecure),
            key_fetch(resources.fetch),
            resources.clock,
            rules=_rules(resources.insecure, symmetric=False),
            timing=Timing(self.refresh_interval, self.cooldown, self.max_stale),
            forget=cache.forget,
            notice=lambda event, fields: resources.notice(event, {"authenticator": name, **fields}),
        )


class JwtAuthenticator:
    """An Authenticator for the JWTs of one issuer.

    Remembers whom a token proves until the token expires or its key is withdrawn. `keys`, `expect` and `cache` are
    public for `gateway explain` and metrics.
    """

    def __init__(self, name: str, keys: KeySource, expect: Expectations, cache: TokenCache) -> None:
        self.name = name
        self.keys = keys
        self.expect = expect
        self.cache = cache
        self._headers: Bounded[bytes, dict[str, Any]] = Bounded()
        self._principals = Principals(name, expect.issuer, expect.leeway)

    @property
    def job(self) -> Job | None:
        """The work in the background that it needs: fetching its keys."""
        return self.keys.keep_fresh if isinstance(self.keys, RemoteKeys) else None

    def inherit(self, other: "JwtAuthenticator") -> None:
        """Begin with the keys that another one has fetched, if it fetches them in the same way. No token is inherited:
        it was verified under other settings."""
        if isinstance(self.keys, RemoteKeys) and isinstance(other.keys, RemoteKeys):
            self.keys.inherit(other.keys)

    def recall(self, token: str) -> Principal | None:
        return self.cache.get(token)

    def accepts(self, token: str) -> bool:
        return peek_issuer(token) == self.expect.issuer

    def authenticate(self, token: str, now: float) -> Principal | Pending:
        self.cache.expired.refuse(token, self.expect.leeway, now)
        jws = read_jws(token, self._headers)
        key = self._signer(jws, now)
        if isinstance(key, Pending):
            return key
        try:
            principal = self._proven(jws, key, token, now)
        except ExpiredToken:
            self.cache.expired.remember(token, jws.payload["exp"], key.thumbprint)
            raise
        self.cache.put(token, principal, now)
        return principal

    def prove(self, token: str, now: float) -> Principal | Pending:
        jws = read_jws(token, self._headers)
        key = self._signer(jws, now)
        return key if isinstance(key, Pending) else self._proven(jws, key, token, now)

    def _signer(self, jws: Jws, now: float) -> Key | Pending:
        """Return the key that made a token. A good header is remembered once a key of the issuer has signed it."""
        if jws.encoded_header in self._headers:
            return find_signer(jws, self.keys, now)
        check_header(jws.header, self.expect, now)
        key = find_signer(jws, self.keys, now)
        if not isinstance(key, Pending):
            self._headers.remember(jws.encoded_header, jws.header)
        return key

    def _proven(self, jws: Jws, key: Key, token: str, now: float) -> Principal:
        check_claims(jws.payload, self.expect, now)
        return self._principal(jws.payload, token, key)

    def _principal(self, claims: Claims, token: str, key: Key) -> Principal:
        return self._principals.principal(claims, token, key.thumbprint)


def _jwks(content: bytes, rules: KeyRules) -> KeySet:
    keys, problems = read_jwks(content, rules)
    if problems:
        raise BadKey("; ".join(problems))
    return keys


def _secret(content: bytes, rules: KeyRules) -> KeySet:
    return KeySet([key_from_secret(secret_in(content), rules)])


_READERS: dict[str, Callable[[bytes, KeyRules], KeySet]] = {
    "jwks_file": _jwks,
    "pem_file": lambda content, rules: KeySet([key_from_pem(content, rules)]),
    "secret_file": _secret,
}


def _rules(insecure: frozenset[str], *, symmetric: bool) -> KeyRules:
    return KeyRules(
        symmetric=symmetric, weak_rsa="weak_rsa_key" in insecure, short_secrets="short_hmac_key" in insecure
    )


def key_fetch(fetch: Fetch) -> Callable[[str, int], Awaitable[bytes]]:
    """Translate the failure of a control call into the words of the floor below."""

    async def fetched(url: str, max_bytes: int) -> bytes:
        try:
            return await fetch(url, max_bytes)
        except FetchFailed as error:
            raise SourceFailed(str(error)) from error

    return fetched
