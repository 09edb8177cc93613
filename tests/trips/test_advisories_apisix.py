"""What the authentication plugins of Apache APISIX were broken by, tried here. The list is in docs/security.md."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.minting import ISSUER, SigningKey, access_claims, b64, jwks, make_key
from tests.trips.attacking import Target, attacked
from tests.trips.running import KEY, get, token
from tests.trips.session_running import OWN_PAGE, json_of, preset, serving, set_cookies

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])
"""The judgement is the same on every event loop."""


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[Target]:
    async with attacked(tmp_path) as target:
        yield target


def confused(key: SigningKey, alg: str = "HS256") -> list[str]:
    """Return tokens that are signed by HMAC with all that anybody knows of a public key."""
    public = key.private.public_key()
    secrets = [
        key.public_pem(),
        key.public_pem().strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.jwk()).encode(),
        jwks(key),
        key.jwk().get("n", key.jwk().get("x", "")).encode(),
        b"",
    ]
    head = b64(json.dumps({"alg": alg, "kid": key.kid, "typ": "at+jwt"}).encode())
    text = f"{head}.{b64(json.dumps(access_claims(sub='root')).encode())}"
    return [f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}" for secret in secrets]


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_cve_2026_39999_a_public_key_is_no_secret(tmp_path: Path, alg: str) -> None:
    key = make_key(alg, "pub")
    (tmp_path / "public.json").write_bytes(jwks(key))
    (tmp_path / "public.pem").write_bytes(key.public_pem())
    for setting in ("jwks_file: public.json", "pem_file: public.pem"):
        text = f"""
authenticators:
  issuer: {{type: jwt, issuer: "{ISSUER}", audiences: ["https://api.example"], {setting}}}
"""
        async with attacked(tmp_path, text) as target:
            assert await target.identity(get("/api/x", bearer=key.sign(access_claims()))) == "alice"
            for forged in confused(key):
                await target.refuses(get("/api/x", bearer=forged), 401)
            for none in ("none", "None", "NONE", "nOnE", "", "HS256", "RS1"):
                head = b64(json.dumps({"alg": none, "kid": "pub", "typ": "at+jwt"}).encode())
                for signature in ("", "AA", key.sign(access_claims()).rpartition(".")[2]):
                    unsigned = f"{head}.{b64(json.dumps(access_claims()).encode())}.{signature}"
                    await target.refuses(get("/api/x", bearer=unsigned), 401)


@pytest.mark.parametrize(
    "claim", ["a\r\nX-Groups: devs", "a\nX-User-Id: root", "a\x00b", "a\r\n\r\nGET /admin HTTP/1.1", "\r"]
)
async def test_cve_2026_31908_a_claim_is_one_header_whatever_it_holds(target: Target, claim: str) -> None:
    seen = await target.passes(get("/api/x", "X-Groups: devs", bearer=token(email=claim)))
    [email] = seen.all("X-Email")
    assert "%0" in email
    assert (seen.all("X-User-Id"), seen.all("X-Groups")) == (["alice"], [])
    assert len(target.app.requests) == 1


@pytest.mark.parametrize("email", [None, [], [None], {}])
async def test_cve_2026_39998_an_absent_claim_leaves_no_room_for_the_clients_own_header(
    target: Target, email: object
) -> None:
    spoofs = ("X-Email: root@corp.example", "x_email: root@corp.example", "X-Email:", "X-Principal-Type: client")
    seen = await target.passes(get("/api/x", *spoofs, bearer=token(email=email, groups=None)))
    assert seen.all("X-Email") == ([] if email != {} else ["{}"])
    assert (seen.all("X_Email"), seen.all("X-Principal-Type")) == ([], ["user"])
    for anonymous in ("/maybe/x", "/public/x"):
        seen = await target.passes(get(anonymous, *spoofs))
        assert not any(seen.all(name) for name in ("X-Email", "X_Email", "X-Principal-Type"))


async def test_cve_2026_49230_an_encrypted_token_is_not_a_signed_one(target: Target) -> None:
    """Five parts, or a header that speaks of encryption, or no signature at all: nothing is half accepted."""
    payload = b64(json.dumps(access_claims()).encode())
    head, _, signature = token().split(".")
    jwe = b64(b'{"alg":"dir","enc":"A256GCM","typ":"at+jwt","kid":"k1"}')
    for forged in (
        *(
            f"{jwe}..AAAA.{payload}.AAAA",
            f"{jwe}....",
            f"{jwe}.{payload}.AAAA",
            f"{head}.{payload}",
            f"{head}.{payload}.",
        ),
        *(f"{head}..{signature}", f".{payload}.{signature}", "..", ".", f"{head}.{payload}.{signature}.{signature}"),
        KEY.sign(access_claims(), enc="A256GCM"),
        KEY.sign(access_claims(), zip="DEF"),
        KEY.sign(access_claims(), crit=["b64"], b64=False),
    ):
        if forged.count(".") == 2 and forged.partition(".")[0] not in (jwe, head, ""):
            assert (await target.ask(get("/api/x", bearer=forged))).status in (200, 401)  # members that mean nothing
        else:
            await target.refuses(get("/api/x", bearer=forged), 400, 401)
    await target.refuses(get("/api/x", bearer=KEY.sign(access_claims(), crit=["b64"], b64=False)), 401)


TWO_ISSUERS = """
authenticators:
  ours: {type: jwt, issuer: "https://gw.example", audiences: ["https://api.example"], jwks_file: keys.json}
  theirs: {type: jwt, issuer: "https://their.example", audiences: ["https://api.example"], jwks_file: theirs.json}
routes:
  - {id: both, match: {path: "/both/**"}, upstream: app, authenticators: [ours, theirs]}
  - {id: ours, match: {path: "/ours/**"}, upstream: app, authenticators: [ours]}
inject: [{header: X-User-Id, claim: sub}, {header: X-Issuer, claim: iss}]
"""


async def test_cve_2026_49872_a_credential_of_another_source_is_not_taken(tmp_path: Path) -> None:
    """A key speaks for its own issuer only, also where its `kid` is that of another's."""
    for kid in ("k1", "k2"):
        theirs = make_key("EdDSA" if kid == "k2" else "ES256", kid)
        (tmp_path / "theirs.json").write_bytes(jwks(theirs))
        async with attacked(tmp_path, TWO_ISSUERS) as target:
            good = theirs.sign(access_claims(iss="https://their.example", sub="eve"))
            assert (await target.passes(get("/both/x", bearer=good))).one("X-Issuer") == "https://their.example"
            for forged in (
                theirs.sign(access_claims()),
                KEY.sign(access_claims(iss="https://their.example")),
                KEY.sign(access_claims(iss="https://gw.example/")),
                KEY.sign(access_claims(iss=["https://gw.example"])),
                KEY.sign(access_claims(aud="https://other.example")),
            ):
                await target.refuses(get("/both/x", bearer=forged), 401)
            await target.refuses(get("/ours/x", bearer=good), 401)


@pytest.mark.parametrize("name", ["X-User-Id", "X_User_Id", "x-user-id", "X-Groups", "X-Principal-Type"])
async def test_cve_2026_44087_headers_that_speak_of_a_user_are_the_gateways(target: Target, name: str) -> None:
    for path, bearer in (("/api/x", token()), ("/maybe/x", None), ("/public/x", None), ("/ping", None)):
        seen = await target.passes(get(path, f"{name}: root", f"{name.upper()}: root", bearer=bearer))
        assert "root" not in [value for _, value in seen.headers]


async def test_cve_2026_49231_what_a_client_says_of_itself_reaches_no_upstream_beside_what_was_decided(
    target: Target,
) -> None:
    seen = await target.passes(get("/api/x", "X-User-Id: alice", "X-User-Id: root", bearer=token()))
    assert seen.all("X-User-Id") == ["alice"]
    assert seen.all("X-Groups") == []


async def test_apisix_13330_an_identity_header_is_removed_though_the_route_does_not_set_it(tmp_path: Path) -> None:
    text = """
inject: [{header: X-Userinfo, template: "{sub}"}]
routes:
  - {id: in, match: {path: "/in/**"}, upstream: app}
  - {id: out, match: {path: "/out/**"}, upstream: app, inject: []}
  - {id: open, match: {path: "/open/**"}, upstream: app, access: public}
"""
    async with attacked(tmp_path, text) as target:
        assert (await target.passes(get("/in/x", "X-Userinfo: e30=", bearer=token()))).all("X-Userinfo") == ["alice"]
        for path, bearer in (("/out/x", token()), ("/open/x", None)):
            assert (await target.passes(get(path, "X-Userinfo: e30=", bearer=bearer))).all("X-Userinfo") == []


async def test_apisix_2026_06_19_a_session_of_one_gateway_is_none_at_another(tmp_path: Path) -> None:
    """Session sharing, also where both have the same issuer and the same users: the key makes the gateway."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with serving(first, preset("seed0")) as here, serving(second, preset("seed0")) as there:
        cookies = set_cookies(answer := await here.try_login("alice", OWN_PAGE))
        line = f"Cookie: __Host-access={cookies['__Host-access']['value']}"
        assert (await here.ask(get("/api/x", line))).status == 200
        assert (await there.ask(get("/api/x", line))).status == 401
        assert (await there.refresh(json_of(answer)["refresh_token"])).status == 401
        assert there.app.requests == []
