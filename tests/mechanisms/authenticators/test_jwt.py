from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.commands.showing.meanings import meanings
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator, JwtSettings
from gateway.mechanisms.base import Authenticator, BadSetting, Resources
from gateway.mechanisms.fetch import ControlClient
from gateway.model.decision import Pending
from gateway.model.errors import (
    BadSignature,
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    UnknownKey,
    WrongAlgorithm,
    WrongAudience,
    WrongIssuer,
    WrongType,
)
from gateway.model.principal import Principal
from gateway.model.revocation import Level, mark, token_name
from gateway.tokens.cache import TokenCache
from gateway.tokens.key_documents import KeyRules, read_jwks
from gateway.tokens.keys import Key, KeySet
from gateway.tokens.remote_keys import RemoteKeys
from tests.issuing import Clock, Issuer
from tests.minting import AUDIENCE, ISSUER, NOW, SigningKey, access_claims, b64, jwks, make_key

K1, K2, SECRET = make_key("EdDSA", "k1"), make_key("RS256", "k2"), make_key("HS256", "k3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "jwks.json").write_bytes(jwks(K1, K2))
    (tmp_path / "key.pem").write_bytes(K2.public_pem())
    (tmp_path / "secret").write_bytes(SECRET.private + b"\n")
    return tmp_path


class Bench:
    """Resources, and what was reported through them."""

    def __init__(self, directory: Path, *insecure: str) -> None:
        self.client = ControlClient()
        self.clock = Clock(NOW)
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.resources = Resources(
            directory=directory,
            fetch=self.client.fetch,
            clock=self.clock,
            notice=lambda event, fields: self.notices.append((event, fields)),
            insecure=frozenset(insecure),
        )

    def build(self, **settings: Any) -> JwtAuthenticator:
        return jwt_settings(**settings).build("idp", self.resources)


def jwt_settings(**settings: Any) -> JwtSettings:
    return JwtSettings.model_validate({"type": "jwt", "issuer": ISSUER, "audiences": [AUDIENCE], **settings})


def prove(authenticator: Authenticator, token: str, now: float = NOW) -> Principal:
    principal = authenticator.authenticate(token, now)
    assert isinstance(principal, Principal)
    return principal


# --- the principal


def test_a_token_proves_a_principal(folder: Path) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    principal = prove(authenticator, K1.sign(access_claims()))
    assert principal.subject == "alice"
    assert principal.issuer == ISSUER
    assert principal.type == "user"
    assert principal.claims == access_claims()
    assert principal.scopes == {"orders:read", "orders:write"}
    assert (principal.issued_at, principal.expires_at, principal.usable_until) == (NOW - 10, NOW + 600, NOW + 605)
    assert (principal.token_id, principal.client_id, principal.authenticator) == ("token-1", "web", "idp")
    assert len(principal.verified_by) == 43


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "user"),
        ({"sub": "svc", "client_id": "svc"}, "client"),
        ({"sub": "svc", "client_id": None, "azp": "svc"}, "client"),
        ({"sub": "svc", "client_id": "other", "azp": "svc"}, "user"),
        ({"sub": "svc", "client_id": 1, "azp": None}, "user"),
        ({"idtyp": "app"}, "client"),
        ({"idtyp": "user"}, "user"),
        ({"gty": "client-credentials"}, "client"),
    ],
)
def test_a_client_never_passes_for_a_user(folder: Path, changes: dict[str, Any], kind: str) -> None:
    """C70"""
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    assert prove(authenticator, K1.sign(access_claims(**changes))).type == kind


@pytest.mark.parametrize(
    ("changes", "scopes"),
    [
        ({"scope": None}, set()),
        ({"scope": ""}, set()),
        ({"scope": "a  b "}, {"a", "b"}),
        ({"scope": ["a", "b c"]}, {"a", "b c"}),
        ({"scope": "a", "scp": ["b"]}, {"a", "b"}),
        ({"scope": None, "scp": "a b"}, {"a", "b"}),
        ({"scope": ["a", 1, ""]}, {"a"}),
        ({"scope": 1, "scp": {"a": 1}}, set()),
    ],
)
def test_scopes_come_from_scope_and_scp(folder: Path, changes: dict[str, Any], scopes: set[str]) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    assert prove(authenticator, K1.sign(access_claims(**changes))).scopes == scopes


def test_claims_that_need_not_be_there_may_be_absent_or_odd(folder: Path) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json", required_claims=[])
    token = K1.sign(access_claims(iat=None, jti=7, client_id=None, exp=NOW + 0.5))
    principal = prove(authenticator, token)
    assert (principal.issued_at, principal.token_id, principal.client_id) == (None, None, None)
    assert (principal.expires_at, principal.usable_until) == (NOW, NOW + 5.5)


# --- what a revocation can name it by


def test_a_token_can_be_revoked_at_every_level(folder: Path) -> None:
    """The session and generation of a token are ours only where the token is: here it has only a foreign `sid`."""
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    principal = prove(authenticator, K1.sign(access_claims(sid="s1", gen=4)))
    assert principal.marks == (
        (mark(Level.EVERYTHING, "", ""), NOW - 10),
        (mark(Level.ISSUER, ISSUER, ""), NOW - 10),
        (mark(Level.CLIENT, ISSUER, "web"), NOW - 10),
        (mark(Level.SUBJECT, ISSUER, "alice"), NOW - 10),
        (mark(Level.SESSION, ISSUER, "s1"), NOW - 10),
        (mark(Level.TOKEN, ISSUER, "token-1"), NOW - 10),
    )
    assert (principal.session_id, principal.generation) == (None, None)
    assert principal.cleared_at == [-1]


@pytest.mark.parametrize("jti", [None, "", 7])
def test_a_token_without_names_has_its_digest_and_the_lowest_ordinal(folder: Path, jti: Any) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json", required_claims=[])
    token = K1.sign(access_claims(iat=None, jti=jti, client_id=None, sid=5))
    assert prove(authenticator, token).marks == (
        (mark(Level.EVERYTHING, "", ""), -1),
        (mark(Level.ISSUER, ISSUER, ""), -1),
        (mark(Level.SUBJECT, ISSUER, "alice"), -1),
        (mark(Level.TOKEN, ISSUER, token_name(token)), -1),
    )


# --- what is remembered


def test_a_proven_token_is_recalled(folder: Path) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    token = K1.sign(access_claims())
    assert authenticator.recall(token) is None
    principal = prove(authenticator, token)
    assert authenticator.recall(token) is principal


def test_a_token_that_nobody_has_shown_is_proven_and_not_remembered() -> None:
    authenticator, keys = asked_authenticator(TokenCache(10, 10_000))
    token = K1.sign(access_claims())
    found = authenticator.prove(token, NOW)
    assert isinstance(found, Principal)
    assert found.subject == "alice"
    assert authenticator.recall(token) is None
    for _ in range(2):
        with pytest.raises(ExpiredToken):
            authenticator.prove(token, NOW + 700)
    assert keys.looked_up == 3


def test_a_refused_token_is_not_recalled(folder: Path) -> None:
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    token = K1.sign(access_claims(aud="other"))
    with pytest.raises(WrongAudience):
        authenticator.authenticate(token, NOW)
    assert authenticator.recall(token) is None


class Asked(KeySet):
    """Counts how often a signature is to be checked."""

    looked_up = 0

    def lookup(self, kid: str | None, alg: str, now: float) -> tuple[Key, ...]:
        self.looked_up += 1
        return super().lookup(kid, alg, now)


def asked_authenticator(cache: TokenCache) -> tuple[JwtAuthenticator, Asked]:
    keys = Asked(read_jwks(jwks(K1, K2), KeyRules())[0].keys)
    return JwtAuthenticator("idp", keys, jwt_settings(jwks_file="jwks.json").expectations(), cache), keys


def expire(authenticator: JwtAuthenticator, token: str, now: float = NOW) -> None:
    with pytest.raises(ExpiredToken):
        authenticator.authenticate(token, now)


def test_an_expired_token_that_comes_again_and_again_is_verified_once() -> None:
    """The time is looked at each time: if the clock is set back, the token may be good."""
    authenticator, keys = asked_authenticator(TokenCache(10, 10_000))
    token = K1.sign(access_claims(exp=NOW - 60, iat=NOW - 660))
    for _ in range(5):
        with pytest.raises(ExpiredToken, match=f"^exp {NOW - 60} [+] leeway 5 <= now {NOW}.000$"):
            authenticator.authenticate(token, NOW)
    assert keys.looked_up == 1
    assert authenticator.recall(token) is None
    assert prove(authenticator, token, NOW - 120)
    expire(authenticator, token)


def test_a_forged_expired_token_is_never_taken_for_an_expired_one() -> None:
    authenticator, keys = asked_authenticator(TokenCache(10, 10_000))
    claims = access_claims(exp=NOW - 60, iat=NOW - 660)
    expire(authenticator, K1.sign(claims))
    forged = make_key("EdDSA", "forger").sign(claims, kid="k1")
    for _ in range(2):
        with pytest.raises(BadSignature):
            authenticator.authenticate(forged, NOW)
    assert keys.looked_up == 3


def test_an_expired_token_is_not_remembered_where_nothing_shall_be() -> None:
    authenticator, keys = asked_authenticator(TokenCache(0, 10_000))
    token = K1.sign(access_claims(exp=NOW - 60, iat=NOW - 660))
    for _ in range(2):
        expire(authenticator, token)
    assert keys.looked_up == 2


def test_only_headers_that_a_key_of_the_issuer_has_signed_are_remembered() -> None:
    authenticator, _ = asked_authenticator(TokenCache(10, 10_000))
    for number in range(10):
        with pytest.raises(BadSignature):
            authenticator.authenticate(make_key("EdDSA", "forger").sign({}, kid="k1", x=number), NOW)
        with pytest.raises(WrongType):
            authenticator.authenticate(K1.sign({}, typ="JWT", x=number), NOW)
    assert len(authenticator._headers) == 0
    for subject in ("alice", "bob"):
        assert prove(authenticator, K1.sign(access_claims(sub=subject))).subject == subject
        assert prove(authenticator, K2.sign(access_claims(sub=subject))).subject == subject
    assert len(authenticator._headers) == 2
    with pytest.raises(BadSignature):
        authenticator.authenticate(make_key("EdDSA", "forger").sign(access_claims(), kid="k1"), NOW)


def test_only_tokens_of_the_issuer_are_accepted(folder: Path) -> None:
    """C50"""
    authenticator = Bench(folder).build(jwks_file="jwks.json")
    assert authenticator.accepts(K1.sign(access_claims()))
    for token in (K1.sign(access_claims(iss=f"{ISSUER}/")), K1.sign(access_claims(iss=None)), "junk", "", "é"):
        assert not authenticator.accepts(token)
        with pytest.raises(InvalidToken):
            authenticator.authenticate(token, NOW)
    with pytest.raises(WrongIssuer):
        authenticator.authenticate(K1.sign(access_claims(iss=f"{ISSUER}/")), NOW)


# --- keys from files


def test_a_pem_key_fits_any_kid_and_is_no_secret(folder: Path) -> None:
    """C33"""
    authenticator = Bench(folder).build(pem_file="key.pem")
    for kid in ("k2", "anything", None):
        assert prove(authenticator, K2.sign(access_claims(), kid=kid))
    with pytest.raises(WrongAlgorithm):
        authenticator.authenticate(SigningKey("HS256", None, K2.public_pem()).sign(access_claims()), NOW)


@pytest.mark.parametrize("line_break", [b"", b"\n", b"\r\n"])
def test_a_secret_is_the_file_without_its_final_line_break(folder: Path, line_break: bytes) -> None:
    (folder / "secret").write_bytes(SECRET.private + line_break)
    authenticator = Bench(folder).build(secret_file="secret", algorithms=["HS256"])
    assert prove(authenticator, SECRET.sign(access_claims()))


def test_a_secret_may_be_in_a_local_key_set(folder: Path) -> None:
    (folder / "jwks.json").write_bytes(jwks(SECRET, K1))
    authenticator = Bench(folder).build(jwks_file="jwks.json", algorithms=["HS256"])
    assert prove(authenticator, SECRET.sign(access_claims()))
    with pytest.raises(WrongAlgorithm):
        authenticator.authenticate(K1.sign(access_claims()), NOW)


@pytest.mark.parametrize(
    ("file", "content", "settings", "message"),
    [
        ("jwks_file", None, {}, "cannot read"),
        ("jwks_file", b"junk", {}, "not a JWK set"),
        ("jwks_file", b'{"keys":[]}', {}, "no key for"),
        ("jwks_file", jwks(K1, make_key("RS256", "weak", bits=1024)), {}, "key 2: an RSA key of 1024 bits"),
        ("jwks_file", jwks(K1), {"algorithms": ["RS256"]}, "no key for RS256"),
        ("jwks_file", jwks(K1.jwk(use="enc")), {}, "no key for"),
        ("pem_file", K2.private_pem(), {}, "private key"),
        ("pem_file", make_key("RS256", "weak", bits=1024).public_pem(), {}, "1024 bits"),
        ("pem_file", K2.public_pem(), {"algorithms": ["ES256"]}, "no key for ES256"),
        ("secret_file", b"s" * 31, {"algorithms": ["HS256"]}, "31 bytes"),
        ("secret_file", b"s" * 32 + b"\n", {"algorithms": ["HS256", "HS512"]}, "too short for HS512"),
        ("secret_file", b"s" * 32, {"algorithms": ["HS384"]}, "no key for HS384"),
        ("secret_file", K2.public_pem(), {"algorithms": ["HS256"]}, "another kind of key"),
    ],
)
def test_a_bad_key_file_stops_the_start(
    tmp_path: Path, file: str, content: bytes | None, settings: dict[str, Any], message: str
) -> None:
    """C33, C61, C66"""
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadSetting, match=message) as caught:
        Bench(tmp_path).build(**{file: "file"}, **settings)
    assert caught.value.path == (file,)


def test_weak_keys_can_be_accepted_by_name(tmp_path: Path) -> None:
    weak, short = make_key("RS256", "weak", bits=1024), SigningKey("HS256", None, b"short")
    (tmp_path / "weak").write_bytes(weak.public_pem())
    (tmp_path / "short").write_bytes(short.private)
    authenticator = Bench(tmp_path, "weak_rsa_key").build(pem_file="weak")
    assert prove(authenticator, weak.sign(access_claims()))
    authenticator = Bench(tmp_path, "short_hmac_key").build(secret_file="short", algorithms=["HS256"])
    assert prove(authenticator, short.sign(access_claims()))


# --- settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one of"),
        ({"jwks_file": "a", "pem_file": "b"}, "exactly one of"),
        ({"discovery": True, "jwks_uri": "https://x"}, "exactly one of"),
        ({"jwks_file": "a", "cooldown": "1m"}, "cooldown: only for"),
        ({"jwks_file": "a", "algorithms": ["HS256", "RS256"]}, "cannot be mixed"),
        ({"jwks_uri": "https://x", "algorithms": ["HS256"]}, "HMAC needs"),
        ({"pem_file": "a", "algorithms": ["HS256"]}, "HMAC needs"),
        ({"secret_file": "a"}, "only for HMAC"),
        ({"secret_file": "a", "algorithms": ["RS256"]}, "only for HMAC"),
        ({"jwks_file": "a", "algorithms": []}, "at least 1 item"),
        ({"jwks_file": "a", "algorithms": ["none"]}, "Input should be"),
        ({"jwks_file": "a", "typ": []}, "at least 1 item"),
        ({"jwks_file": "a", "leeway": "6m"}, "less than or equal to 300"),
        ({"jwks_file": "a", "max_lifetime": 0}, "greater than 0"),
        ({"jwks_uri": "https://x", "cooldown": 0}, "greater than or equal to 1"),
        ({"jwks_file": "a", "issuer": ""}, "at least 1 character"),
        ({"jwks_file": "a", "audience": "x"}, "not permitted"),
    ],
)
def test_contradictory_settings_are_mistakes(settings: dict[str, Any], message: str) -> None:
    """C32 (`none` cannot even be asked for)"""
    with pytest.raises(ValidationError, match=message):
        jwt_settings(**settings)


@pytest.mark.parametrize("missing", ["issuer", "audiences"])
def test_issuer_and_audience_have_no_default(missing: str) -> None:
    settings = {"type": "jwt", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": "a"}
    del settings[missing]
    with pytest.raises(ValidationError, match="Field required"):
        TypeAdapter(AuthenticatorSettings).validate_python(settings)


@pytest.mark.parametrize(
    ("settings", "path", "name"),
    [
        ({"audiences": [], "jwks_file": "jwks.json"}, "audiences", "no_audience"),
        ({"issuer": "http://gw.example", "jwks_file": "jwks.json"}, "issuer", "http_issuer"),
        ({"issuer": "http://gw.example", "discovery": True}, "issuer", "http_issuer"),
        ({"jwks_uri": "http://gw.example/jwks"}, "jwks_uri", "http_issuer"),
    ],
)
def test_an_insecure_setting_must_be_accepted_by_name(
    folder: Path, settings: dict[str, Any], path: str, name: str
) -> None:
    with pytest.raises(BadSetting, match=name) as caught:
        Bench(folder).build(**settings)
    assert caught.value.path == (path,)
    assert Bench(folder, name).build(**settings)


def test_each_setting_tells_what_it_is_for() -> None:
    assert set(meanings(JwtSettings)) == set(JwtSettings.model_fields)


def test_the_defaults_are_the_safe_ones() -> None:
    expect = jwt_settings(discovery=True).expectations()
    assert expect.algorithms == {"RS256", "PS256", "ES256", "EdDSA"}
    assert expect.types == {"at+jwt"}
    assert expect.required_claims == ("iat",)


def test_the_accepted_types_can_be_chosen(folder: Path) -> None:
    """C41, C42"""
    authenticator = Bench(folder).build(jwks_file="jwks.json", typ=["application/JWT", "absent"])
    for typ in ("JWT", "jwt", None):
        assert prove(authenticator, K1.sign(access_claims(), typ=typ))
    for typ in ("at+jwt", "absent"):
        with pytest.raises(WrongType):
            authenticator.authenticate(K1.sign(access_claims(), typ=typ), NOW)


# --- keys from the issuer


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(K1).running() as issuer:
        yield issuer


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, "http_issuer")
    yield bench
    await bench.client.close()


async def settle(authenticator: JwtAuthenticator, token: str, now: float = NOW) -> Principal:
    """Authenticate as the engine does: wait if that may help, then ask again."""
    found = authenticator.authenticate(token, now)
    if isinstance(found, Pending):
        await found.ready()
        found = authenticator.authenticate(token, now)
    assert isinstance(found, Principal)
    return found


async def test_published_keys_are_fetched_when_first_needed(bench: Bench, issuer: Issuer) -> None:
    authenticator = bench.build(jwks_uri=issuer.jwks_uri)
    assert authenticator.job is not None
    assert await settle(authenticator, K1.sign(access_claims()))
    assert bench.notices == [("keys_fetched", {"authenticator": "idp", "keys": 1, "withdrawn": 0, "skipped": []})]


async def test_published_keys_are_discovered(bench: Bench, issuer: Issuer) -> None:
    authenticator = bench.build(issuer=issuer.url, discovery=True)
    assert await settle(authenticator, K1.sign(access_claims(iss=issuer.url)))


async def test_an_issuer_that_is_down_is_not_a_bad_token(bench: Bench, issuer: Issuer) -> None:
    issuer.status = 500
    authenticator = bench.build(jwks_uri=issuer.jwks_uri)
    with pytest.raises(KeysUnavailable):
        await settle(authenticator, K1.sign(access_claims()))
    assert bench.notices[0][0] == "keys_fetch_failed"


async def test_a_withdrawn_key_takes_its_principals_along(bench: Bench, issuer: Issuer) -> None:
    """C64"""
    authenticator = bench.build(jwks_uri=issuer.jwks_uri)
    token = K1.sign(access_claims())
    expired = K1.sign(access_claims(exp=NOW - 60, iat=NOW - 660))
    await settle(authenticator, token)
    expire(authenticator, expired)
    issuer.publish(K2)
    bench.clock.now = NOW + 31
    newer = K2.sign(access_claims())
    assert await settle(authenticator, newer, NOW + 31)
    assert authenticator.recall(token) is None
    assert authenticator.recall(newer) is not None
    for withdrawn in (token, expired):
        with pytest.raises(UnknownKey):
            authenticator.authenticate(withdrawn, NOW + 31)


async def test_a_token_never_makes_the_gateway_fetch_from_where_it_says(bench: Bench, issuer: Issuer) -> None:
    """C37"""
    attacker = make_key("RS256", "k1")
    async with Issuer(attacker).running() as elsewhere:
        authenticator = bench.build(jwks_uri=issuer.jwks_uri)
        for header in ({"jku": elsewhere.jwks_uri}, {"x5u": elsewhere.jwks_uri}, {"jwk": attacker.jwk()}):
            for kid in ("k1", elsewhere.jwks_uri, None):
                with pytest.raises(InvalidToken):
                    await settle(authenticator, attacker.sign(access_claims(), kid=kid, **header))
        assert elsewhere.requests == []
        assert issuer.requests == ["/jwks"]


async def test_a_token_that_cannot_be_good_causes_no_fetch(bench: Bench, issuer: Issuer) -> None:
    """C17, C19, C32, C40, C41"""
    authenticator = bench.build(jwks_uri=issuer.jwks_uri)
    for token in ("junk", K1.sign({}, alg="none"), K1.sign({}, typ="rt+jwt"), f"{b64(b'{}')}.a.b.c.d", "x" * 16384):
        with pytest.raises(InvalidToken):
            authenticator.authenticate(token, NOW)
    assert issuer.requests == []


def test_what_remote_keys_count_can_be_read(tmp_path: Path) -> None:
    authenticator = Bench(tmp_path).build(jwks_uri="https://gw.example/jwks", max_stale="1h")
    assert isinstance(authenticator.keys, RemoteKeys)
    assert authenticator.keys.fetches == {"ok": 0, "failed": 0}
