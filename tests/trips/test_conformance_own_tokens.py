"""Attacks on the gateway's own access tokens, through a whole gateway. Each has a good twin, so that it is the reason.

The gateway has four keys: of EdDSA, ES256, RS256 and HS256. Each attack is made with every one that it works with.
"""

import asyncio
import base64
import hmac
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.app import Gateway
from gateway.config.compile import CompileMistakes
from gateway.config.load import load_text
from gateway.mechanisms import key_file as watching
from tests.issuing import Clock, Issuer
from tests.minting import AUDIENCE, ISSUER, NOW, SigningKey, access_claims, b64, jwks, make_key
from tests.own_tokens import SID, key_file, private_jwk, refresh_jwk
from tests.state.redis_servers import server_of
from tests.trips.conformance import CONFORMANCE, EXPIRED, REVOKED, conforming, is_error, is_refused, write_keys
from tests.trips.running import get
from tests.trips.session_running import PassingClock, SessionGateway, json_of, payload_of
from tests.trips.wire import connected, eventually

E, S, R, H = KEYS = (
    make_key("EdDSA", "own-eddsa"),
    make_key("ES256", "own-es256"),
    make_key("RS256", "own-rs256"),
    make_key("HS256", "own-hs256"),
)
STRANGER = "https://other.example"
THEIRS = make_key("EdDSA", "theirs")
OTHER_ISSUER = {"type": "jwt", "issuer": STRANGER, "audiences": [AUDIENCE], "jwks_file": "theirs.json"}


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of one of our own tokens; None leaves one out."""
    return access_claims(**{"sid": SID, "gen": 1, "auth_time": NOW - 60, **changes})


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[SessionGateway]:
    async with attacked(tmp_path) as gate:
        yield gate


@asynccontextmanager
async def attacked(directory: Path, **changes: Any) -> AsyncIterator[SessionGateway]:
    """Run a gateway, and see afterwards that of its requests none but the good twins' got any further."""
    (directory / "theirs.json").write_bytes(jwks(THEIRS))
    authenticators = {"own": {"type": "issued"}, "other": OTHER_ISSUER}
    routes = [{"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "authenticators": ["own", "other"]}]
    changes = {"authenticators": authenticators, "routes": routes, **changes}
    async with conforming(directory, *KEYS, changes=changes) as gate:
        for key in KEYS:
            assert (await gate.api(key.sign(claims()), path="/api/twin")).status == 200
        yield gate
        assert {seen.target for seen in gate.app.requests} == {"/api/twin"}


async def all_refused(gate: SessionGateway, *tokens: str) -> None:
    for token in tokens:
        is_refused(await gate.api(token))


# --- the header


async def test_an_unsigned_token(gate: SessionGateway) -> None:
    """C32: with each kid, with and without the signature of the twin."""
    for key in KEYS:
        for alg in ("none", "None", "nOnE", "NONE", "", None):
            token = key.sign(claims(), alg=alg)
            await all_refused(gate, token, token.rpartition(".")[0] + ".")


async def test_a_public_key_as_an_hmac_secret(gate: SessionGateway) -> None:
    """C33: in every form that it is known in, also with the kid of the one key that is an HMAC secret."""
    for key in (E, S, R):
        pem = key.public_pem()
        der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
        for public in (pem, pem.rstrip(), der, json.dumps(key.jwk()).encode(), jwks(key)):
            for kid in (key.kid, H.kid):
                await all_refused(gate, SigningKey("HS256", kid, public).sign(claims()))


async def test_the_kid_of_a_key_of_another_algorithm(gate: SessionGateway) -> None:
    """C34: and an algorithm that the key could do, but is not bound to."""
    await all_refused(gate, *(key.sign(claims(), kid=other.kid) for key in KEYS for other in KEYS if key is not other))
    for key, alg in ((R, "PS256"), (R, "RS384"), (R, "RS512"), (H, "HS384"), (H, "HS512")):
        await all_refused(gate, SigningKey(alg, key.kid, key.private).sign(claims()))
    await all_refused(gate, *(key.sign(claims(), alg=other.alg) for key in KEYS for other in KEYS if key is not other))


_recorded: list[str] | None = None
_IO = {"open", "socket.connect", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen"}


def _record(event: str, _: tuple[Any, ...]) -> None:
    if _recorded is not None and event in _IO:
        _recorded.append(event)


@pytest.fixture
def io() -> Iterator[Callable[[], list[str]]]:
    """Begin to record what this process opens and connects to; the function that is called returns it."""
    global _recorded
    if not hasattr(sys, "_records_io"):
        sys.addaudithook(_record)
        sys._records_io = True  # type: ignore[attr-defined]

    def begin() -> list[str]:
        global _recorded
        _recorded = []
        return _recorded

    yield begin
    _recorded = None


KIDS: list[Any] = [
    "unknown",
    "../../etc/passwd",
    "/etc/passwd",
    "' OR 1=1",
    "%s",
    "*",
    "0",
    "theirs",
    "",
    "k" * 1024,
    None,
    1,
    [],
]


async def test_an_unknown_kid_and_one_that_would_be_a_path_or_a_query(
    gate: SessionGateway, io: Callable[[], list[str]]
) -> None:
    """C35, C36: our own keys are at hand, so nothing is fetched, opened or asked for, however many such tokens come."""
    async with connected(gate.port) as client:
        is_refused(await client.ask(get("/api/x", bearer="a.b.c")))
        recorded = io()
        for kid in KIDS:
            for key in KEYS:
                is_refused(await client.ask(get("/api/x", bearer=key.sign(claims(), kid=kid))))
        assert recorded == []


async def test_keys_that_the_token_brings_along_or_points_to(tmp_path: Path) -> None:
    """C37"""
    async with attacked(tmp_path) as gate, Issuer(make_key("RS256", "evil")).running() as attacker:
        evil = {key.alg: make_key(key.alg, "evil") for key in (E, S, R)}
        for key in (E, S, R):
            mine = evil[key.alg]
            for kid in (key.kid, "evil", None):
                for header in ({"jku": attacker.jwks_uri}, {"x5u": attacker.jwks_uri}, {"jwk": mine.jwk()}):
                    await all_refused(gate, mine.sign(claims(), kid=kid, **header))
            await all_refused(gate, mine.sign(claims(), kid=key.kid, x5c=[b64(mine.public_pem())]))
        assert attacker.requests == []


CRITICAL: list[dict[str, Any]] = [
    {"crit": ["x"]},
    {"crit": ["x"], "x": 1},
    {"crit": []},
    {"crit": ["exp"]},
    {"b64": False, "crit": ["b64"]},
]


async def test_a_critical_extension(gate: SessionGateway) -> None:
    """C38, C39: and a payload that is signed without being encoded, as RFC 7797 says."""
    await all_refused(gate, *(key.sign(claims(), **header) for key in KEYS for header in CRITICAL))
    header = b64(json.dumps({"alg": "HS256", "kid": H.kid, "typ": "at+jwt", "b64": False, "crit": ["b64"]}).encode())
    signature = hmac.digest(H.private, header.encode() + b"." + json.dumps(claims()).encode(), "sha256")
    await all_refused(gate, f"{header}.{b64(json.dumps(claims()).encode())}.{b64(signature)}")


async def test_an_encrypted_token(gate: SessionGateway) -> None:
    """C40"""
    header = b64(b'{"alg":"dir","enc":"A256GCM","typ":"at+jwt","kid":"own-hs256"}')
    await all_refused(gate, f"{header}..{b64(bytes(12))}.{b64(bytes(64))}.{b64(bytes(16))}")
    for key in KEYS:
        await all_refused(gate, key.sign(claims()) + ".x.y", key.sign(claims(), enc="A256GCM") + "..")


OTHER_TYPES = ("JWT", "rt+jwt", "dpop+jwt", "logout+jwt", "secevent+jwt", "at+jwt2", "at", "", None, 1, ["at+jwt"])


async def test_another_type_of_token(gate: SessionGateway) -> None:
    """C41"""
    await all_refused(gate, *(key.sign(claims(), typ=typ) for key in KEYS for typ in OTHER_TYPES))


async def test_the_type_in_any_case_is_good(gate: SessionGateway) -> None:
    """C42"""
    for key in KEYS:
        for typ in ("AT+JWT", "At+Jwt", "application/at+jwt", "APPLICATION/AT+JWT"):
            assert (await gate.api(key.sign(claims(), typ=typ), path="/api/twin")).status == 200


@pytest.mark.parametrize("form", ["opaque", "jwt"])
async def test_a_refresh_token_as_an_access_token(tmp_path: Path, form: str) -> None:
    """C43: of either form; and an ID token."""
    changes = {**CONFORMANCE["sessions"], "refresh": {"format": form}}
    async with attacked(tmp_path, sessions=changes) as gate:
        pair = await gate.log_in()
        assert (pair["refresh_token"].count(".") == 2) == (form == "jwt")
        assert (await gate.api(pair["access_token"], path="/api/twin")).status == 200
        await all_refused(gate, pair["refresh_token"])
        is_error(await gate.exchange(pair["access_token"]), 400, "invalid_grant")
        identity = {"iss": ISSUER, "sub": "alice", "aud": "web", "iat": NOW, "exp": NOW + 600, "nonce": "n"}
        await all_refused(gate, *(key.sign(identity, typ=typ) for key in KEYS for typ in ("JWT", "at+jwt")))


# --- the claims


def with_exp(text: str) -> bytes:
    """Return a payload with `exp` written like this."""
    return json.dumps(claims(exp=0)).replace('"exp": 0', f'"exp": {text}').encode()


BAD_TIMES = ['"9999999999"', "NaN", "Infinity", "-Infinity", "1e400", "true", "-1", "null", "[]", "{}", "9" * 400]
"""C45, C46: of `exp`."""


async def test_an_end_that_is_no_number_of_seconds(gate: SessionGateway) -> None:
    """C45, C46"""
    await all_refused(gate, *(key.sign(with_exp(text)) for key in KEYS for text in BAD_TIMES))


BAD_CLAIMS: dict[str, list[dict[str, Any]]] = {
    "C44 no end": [{"exp": None}],
    "C47 not yet": [{"nbf": NOW + 60}, {"nbf": "0"}, {"nbf": True}],
    "C48 from the future": [{"iat": NOW + 60}, {"iat": "0"}, {"iat": True}, {"iat": None}],
    "C49 too long": [{"exp": NOW + 86401, "iat": NOW}, {"exp": 9_999_999_999}],
    "C50 another issuer": [
        {"iss": None},
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": ISSUER + ".evil.example"},
        {"iss": ISSUER[:-1]},
        {"iss": "x" + ISSUER},
        {"iss": ISSUER.upper()},
        {"iss": [ISSUER]},
        {"iss": 1},
        {"iss": ""},
    ],
    "C52 another audience": [
        {"aud": None},
        {"aud": "https://other.example"},
        {"aud": []},
        {"aud": ""},
        {"aud": AUDIENCE + "/"},
        {"aud": AUDIENCE[:-1]},
        {"aud": ISSUER},
        {"aud": {AUDIENCE: 1}},
    ],
    "C54 an audience that is no string": [{"aud": [AUDIENCE, 1]}, {"aud": [AUDIENCE, None]}, {"aud": 1}],
    "C55 no subject": [{"sub": None}, {"sub": 1}, {"sub": ""}, {"sub": ["alice"]}, {"sub": True}],
}


@pytest.mark.parametrize("changes", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_claims_that_we_never_write(gate: SessionGateway, changes: list[dict[str, Any]]) -> None:
    """C44, C47, C48, C49, C50, C52, C54, C55"""
    for key in KEYS:
        await all_refused(gate, *(key.sign(claims(**change)) for change in changes))


async def test_an_expired_token_says_so(gate: SessionGateway) -> None:
    """C44's neighbour: `exp` counts, within the leeway of five seconds."""
    for key in KEYS:
        is_refused(await gate.api(key.sign(claims(exp=NOW - 5))), EXPIRED)
        assert (await gate.api(key.sign(claims(exp=NOW - 4)), path="/api/twin")).status == 200


async def test_the_key_of_another_issuer(gate: SessionGateway) -> None:
    """C51: in both directions."""
    assert (await gate.api(THEIRS.sign(access_claims(iss=STRANGER)), path="/api/twin")).status == 200
    await all_refused(gate, THEIRS.sign(claims()), *(THEIRS.sign(claims(), kid=key.kid) for key in KEYS))
    await all_refused(gate, *(key.sign(claims(iss=STRANGER)) for key in KEYS))
    await all_refused(gate, *(key.sign(claims(iss=STRANGER), kid=THEIRS.kid) for key in KEYS))


async def test_one_of_several_audiences_is_good(gate: SessionGateway) -> None:
    """C53"""
    for key in KEYS:
        assert (await gate.api(key.sign(claims(aud=["x", AUDIENCE])), path="/api/twin")).status == 200


# --- what two parsers could read differently


GOOD = json.dumps(claims())
PAYLOADS = {
    "C56 twice the same": GOOD.replace('"sub": "alice"', '"sub": "alice", "sub": "alice"').encode(),
    "C56 twice": GOOD.replace('"sub": "alice"', '"sub": "bob", "sub": "alice"').encode(),
    "C56 twice, one escaped": GOOD.replace('"sub": "alice"', '"sub": "alice", "s\\u0075b": "bob"').encode(),
    "C57 UTF-16": GOOD.encode("utf-16"),
    "C57 UTF-16-LE": GOOD.encode("utf-16-le"),
    "C57 UTF-32": GOOD.encode("utf-32"),
    "C57 BOM": b"\xef\xbb\xbf" + GOOD.encode(),
    "C57 Latin-1": json.dumps(claims(name="é"), ensure_ascii=False).encode("latin-1"),
    "C60 array": f"[{GOOD}]".encode(),
    "C60 string": json.dumps(GOOD).encode(),
    "C60 number": b"1",
    "C60 null": b"null",
    "C60 nothing": b"",
    "two objects": GOOD.encode() * 2,
}


async def test_a_payload_that_is_not_one_strict_object(gate: SessionGateway) -> None:
    """C56, C57, C60: with a good signature."""
    await all_refused(gate, *(key.sign(payload) for payload in PAYLOADS.values() for key in KEYS))


async def test_a_header_that_is_not_one_strict_object(gate: SessionGateway) -> None:
    """C56, C57, C60"""
    for key in KEYS:
        good = json.dumps({"alg": key.alg, "kid": key.kid, "typ": "at+jwt"})
        twice = good.replace('"alg"', '"alg": "none", "alg"').encode()
        for header in (twice, good.encode("utf-16"), b"\xef\xbb\xbf" + good.encode(), f"[{good}]".encode(), b'"x"'):
            await all_refused(gate, key.seal(header, json.dumps(claims()).encode()))


async def test_segments_that_are_not_strict_base64url(gate: SessionGateway) -> None:
    """C58: what could not be a token at all is a malformed request, and so is one with a line break in it."""
    for key in KEYS:
        token = key.sign(claims())
        head, payload, signature = token.split(".")
        padded = head + "=" * (-len(head) % 4)
        wrong = [token + "==", token + "=", f"{head}.{payload}", f"{token}.", f"{token}.x", f".{token}", head]
        wrong += [f"{head}+.{payload}.{signature}", f"{head}/.{payload}.{signature}", f"{head}~.{payload}.{signature}"]
        await all_refused(gate, *wrong)
        for changed in (f"{padded}=.{payload}.{signature}", f"{head}!.{payload}.{signature}", f"{token} x"):
            is_error_400(await gate.api(changed))
        assert (await gate.api(token[:9] + "\n" + token[9:])).status == 400
        assert (await gate.api(token[:9] + "\r\n " + token[9:])).status == 400


def is_error_400(answer: Any) -> None:
    assert (answer.status, json_of(answer)["error"]) == (400, "invalid_request")
    assert 'error="invalid_request"' in (answer.one("WWW-Authenticate") or "")


@pytest.mark.parametrize("nesting", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 99_000 + b"]" * 99_000])
async def test_a_payload_nested_100_000_deep(tmp_path: Path, nesting: bytes) -> None:
    """C59: where a configuration lets so long a token in. No stack overflows, nothing is a bug."""
    limits = {"header_bytes": 2**20, "token_bytes": 2**20, "identity_bytes": 2**10}
    async with attacked(tmp_path, limits=limits) as gate, connected(gate.port) as client:
        for key in KEYS:
            for token in (key.sign(nesting), key.seal(nesting, json.dumps(claims()).encode())):
                is_refused(await client.ask(get("/api/x", bearer=token)))
        assert (await client.ask(get("/api/twin", bearer=E.sign(claims())))).status == 200


# --- the signature and the keys


async def test_an_ecdsa_signature_in_der(gate: SessionGateway) -> None:
    """C62"""
    signing_input = S.sign(claims()).rpartition(".")[0]
    for _ in range(8):  # its length varies
        der = S.private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
        await all_refused(gate, f"{signing_input}.{b64(der)}")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.alg)
@pytest.mark.parametrize("segment", [0, 1, 2], ids=["header", "payload", "signature"])
async def test_a_flipped_bit(gate: SessionGateway, key: SigningKey, segment: int) -> None:
    """C63: in what the three parts say; every bit of their ends, and many in between."""
    parts = [base64.urlsafe_b64decode(part + "==") for part in key.sign(claims()).split(".")]
    bits = len(parts[segment]) * 8
    async with connected(gate.port) as client:
        for bit in sorted({*range(0, bits, 7), *range(16), *range(bits - 16, bits)}):
            changed = bytearray(parts[segment])
            changed[bit // 8] ^= 1 << bit % 8
            token = ".".join(map(b64, [*parts[:segment], bytes(changed), *parts[segment + 1 :]]))
            assert (await client.ask(get("/api/x", bearer=token))).status == 401, bit
    changed = bytearray(parts[segment])
    changed[-1] ^= 1
    is_refused(await gate.api(".".join(map(b64, [*parts[:segment], bytes(changed), *parts[segment + 1 :]]))))


WEAK = {
    "RSA of 1024 bits": private_jwk(make_key("RS256", "weak", bits=1024)),
    "a secret of 31 bytes": private_jwk(H, k=b64(b"s" * 31)),
    "a short secret of refresh tokens": refresh_jwk(1, k=b64(b"s" * 31)),
    "an algorithm that is none": private_jwk(E, alg="none"),
    "a public key as a secret": private_jwk(H, k=b64(R.public_pem())),
}


@pytest.mark.parametrize("member", WEAK.values(), ids=WEAK.keys())
async def test_a_weak_key_stops_the_start(tmp_path: Path, member: dict[str, Any]) -> None:
    """C61: the mistake is told with its place, and without the key."""
    with pytest.raises(CompileMistakes) as caught:
        start(tmp_path, member)
    [mistake] = caught.value.mistakes
    assert mistake[0] == ("sessions", "key_file")
    text = str(caught.value)
    assert not any(str(member[name]) in text for name in ("d", "k") if name in member)


async def test_a_key_that_is_for_something_else_is_not_used(tmp_path: Path) -> None:
    """C66: the key file holds nothing but what tokens are made of; so the start says what does not belong there."""
    for change in ({"use": "enc"}, {"use": None, "key_ops": ["encrypt"]}, {"use": None}):
        with pytest.raises(CompileMistakes, match="neither"):
            start(tmp_path, private_jwk(S, **change))


def start(directory: Path, *members: dict[str, Any]) -> None:
    """Build a gateway whose key file has these members beside good ones."""
    file = directory / "keys.json"
    file.write_bytes(key_file(private_jwk(make_key("EdDSA", "good")), refresh_jwk(), *members))
    file.chmod(0o600)
    (directory / "users").write_text("")
    config = {name: value for name, value in CONFORMANCE.items() if name not in ("ops", "admin")}
    names = {"GATEWAY_LISTEN": "127.0.0.1:0", "GATEWAY_UPSTREAM": "http://127.0.0.1:9", "STATE_URL": "sqlite:state.db"}
    Gateway(load_text(json.dumps(config), names).config, directory, Clock(NOW))


async def test_a_key_of_an_unknown_kind_is_ignored_and_the_others_work(tmp_path: Path) -> None:
    """C67: a newer gateway may have put it there."""
    unknown = {"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "use": "sig", "priv": "AAAA", "signs_from": NOW - 5}
    file = tmp_path / "keys.json"
    file.write_bytes(key_file(private_jwk(E), refresh_jwk(), unknown))
    file.chmod(0o600)
    async with conforming(tmp_path) as gate:
        pair = await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        is_refused(await gate.api(E.sign(claims(), kid="pq")))
        [published] = json_of(await gate.ask(get("/.well-known/jwks.json")))["keys"]
        assert published["kid"] == E.kid


async def test_a_key_that_is_taken_out_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C64: its tokens are refused, also those that were known; a new key's are taken. Nothing is started again."""
    monkeypatch.setattr(watching, "INTERVAL", 0.01)
    new = make_key("ES256", "new")
    async with conforming(tmp_path, E) as gate:
        old = (await gate.log_in())["access_token"]
        assert (await gate.api(old)).status == 200
        is_refused(await gate.api(new.sign(claims())))
        write_keys(tmp_path, new, E)
        await eventually(lambda: len(gate.gateway.snapshot.own.keys.keys) == 2)  # type: ignore[union-attr]
        assert (await gate.api(old)).status == 200
        young = (await gate.log_in())["access_token"]
        assert (await gate.api(young)).status == 200
        write_keys(tmp_path, new)
        async with asyncio.timeout(3):
            while (await gate.api(old)).status == 200:
                await asyncio.sleep(0.01)
        is_refused(await gate.api(old))
        assert (await gate.api(young)).status == 200


@pytest.mark.parametrize("broken", [b"", b"{", key_file(private_jwk(H, k="AAAA")), None])
async def test_while_the_key_file_is_broken_the_keys_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes | None
) -> None:
    """C65: as for the keys of other issuers that cannot be fetched."""
    monkeypatch.setattr(watching, "INTERVAL", 0.01)
    async with conforming(tmp_path, E) as gate:
        token = (await gate.log_in())["access_token"]
        if broken is None:
            (tmp_path / "keys.json").unlink()
        else:
            (tmp_path / "keys.json").write_bytes(broken)
        await asyncio.sleep(0.1)
        assert (await gate.api(token)).status == 200
        assert (await gate.api((await gate.log_in())["access_token"])).status == 200


# --- revocation


async def test_a_token_whose_session_was_revoked(tmp_path: Path) -> None:
    """C18: with the words for it. Signed well, and with time left."""
    async with conforming(tmp_path, *KEYS) as gate:
        pair, other = await gate.log_in(), await gate.log_in()
        assert (await gate.api(pair["access_token"])).status == 200
        assert (await gate.log_out(pair["refresh_token"])).status == 204
        is_refused(await gate.api(pair["access_token"]), REVOKED)
        is_refused(await gate.api(E.sign(claims(sid=payload_of(pair["access_token"])["sid"]))), REVOKED)
        assert (await gate.api(other["access_token"])).status == 200
        assert len(gate.app.requests) == 2


async def test_when_nobody_knows_what_is_revoked(tmp_path: Path) -> None:
    """C28: 503 with `Retry-After`, and no challenge: the token may be good. What can't be good is refused as ever."""
    with server_of(tmp_path / "redis") as server:
        more: dict[str, Any] = {"STATE_URL": f"redis://127.0.0.1:{server.port}", "clock": PassingClock()}
        async with conforming(tmp_path, changes={"revocation": {"max_staleness": 2}}, **more) as gate:
            pair, unused = await gate.log_in(), await gate.log_in()
            assert (await gate.api(pair["access_token"])).status == 200
            await asyncio.to_thread(server.kill)
            await eventually(lambda: gate.view.staleness() > 2, 10)
            for token in (pair["access_token"], unused["access_token"]):
                answer = await gate.api(token)
                assert (answer.status, answer.one("WWW-Authenticate")) == (503, None)
                assert int(answer.one("Retry-After") or 0) > 0
                assert answer.one("Cache-Control") == "no-store"
                assert json_of(answer)["error"] == "temporarily_unavailable"
            is_refused(await gate.api(pair["access_token"][:-6] + "AAAAAA"))
            assert len(gate.app.requests) == 1
            await asyncio.to_thread(server.start)
            await eventually(lambda: gate.view.staleness() < 2, 20)
            assert (await gate.api(pair["access_token"])).status == 200
