"""`gateway token` makes and reads tokens and keys."""

import io
import json
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.mechanisms.base import offline_resources
from gateway.model.decision import Pending
from gateway.model.moments import distance, moment
from gateway.model.principal import Principal
from gateway.tokens.jose import Jws, read_jws
from gateway.tokens.key_documents import KeyRules, read_jwks
from gateway.tokens.verify import Expectations, verify_jwt
from tests.minting import NOW, access_claims, make_key

WHO = ["--issuer", "https://id.example", "--audience", "api", "--subject", "alice"]


def minted(capsys: pytest.CaptureFixture[str], key: Path, *words: str) -> Jws:
    assert main(["token", "mint", "--key", str(key), *WHO, *words]) == 0
    return read_jws(capsys.readouterr().out.strip())


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["token", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_new_key_signs_tokens_that_its_jwks_verifies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "jwks.json"
    assert main(["token", "key", "--alg", algorithm, "--private", str(private), "--jwks", str(public)]) == 0
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert "PRIVATE" not in capsys.readouterr().out
    keys, problems = read_jwks(public.read_bytes(), KeyRules())
    assert problems == ()
    assert '"d"' not in public.read_text()
    expect = Expectations("https://id.example", frozenset({"api"}), frozenset({algorithm}))
    verified = verify_jwt(minted(capsys, private, "--scope", "a b", "--scope", "c"), keys, expect, time.time())
    assert not isinstance(verified, Pending)
    assert verified.claims["scope"] == "a b c"
    assert verified.claims["exp"] - verified.claims["iat"] == 3600


@pytest.mark.parametrize("existing", ["key.pem", "jwks.json"])
def test_a_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], existing: str) -> None:
    (tmp_path / existing).write_text("mine")
    words = ["--private", str(tmp_path / "key.pem"), "--jwks", str(tmp_path / "jwks.json")]
    assert "is not overwritten" in refused(capsys, "key", *words)
    assert [file.name for file in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_no_private_key_is_left_behind_without_its_public_half(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--private", str(tmp_path / "key.pem"), "--jwks", str(tmp_path / "missing" / "jwks.json")]
    assert "No such file" in refused(capsys, "key", *words)
    assert list(tmp_path.iterdir()) == []


def test_every_claim_and_header_can_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(make_key("RS256").private_pem())
    words = ["--audience", "other", "--claim", 'groups=["a", 1]', "--claim", "level=high", "--claim", "sub=bob"]
    jws = minted(
        capsys, key, *words, "--at", str(NOW), "--lifetime", "10m", "--typ", "JWT", "--kid", "k", "--alg", "PS384"
    )
    assert jws.header == {"alg": "PS384", "kid": "k", "typ": "JWT"}
    assert jws.payload.pop("jti")
    assert jws.payload == {
        "iss": "https://id.example",
        "aud": ["api", "other"],
        "sub": "bob",
        "iat": NOW,
        "exp": NOW + 600,
        "groups": ["a", 1],
        "level": "high",
    }


def private_jwk(algorithm: str, kid: str | None) -> dict[str, Any]:
    from jwt.algorithms import get_default_algorithms

    jwk = dict(get_default_algorithms()[algorithm].to_jwk(make_key(algorithm, kid).private, as_dict=True))
    return jwk | {"kid": kid} if kid else jwk


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES384", "RS256"])
def test_a_private_jwk_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str) -> None:
    key = tmp_path / "key.json"
    key.write_text(json.dumps(private_jwk(algorithm, "k1")))
    assert (jws := minted(capsys, key)).kid == "k1"
    assert jws.alg == algorithm


def test_a_key_of_a_set_is_chosen_by_its_kid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "keys.json"
    public = make_key("EdDSA", "public").jwk()
    key.write_text(
        json.dumps({"keys": [public, private_jwk("EdDSA", "a"), private_jwk("ES256", "b") | {"alg": "ES256"}]})
    )
    assert minted(capsys, key, "--kid", "b").alg == "ES256"
    assert "exactly one private key" in refused(capsys, "mint", "--key", str(key), *WHO)
    key.write_text(json.dumps({"keys": [public, private_jwk("EdDSA", "a")]}))
    assert minted(capsys, key).kid == "a"


@pytest.mark.parametrize(
    ("content", "words", "problem"),
    [
        (make_key("ES256").private_pem(), ["--alg", "RS256"], "does not fit RS256; it is a key for ES256"),
        (make_key("ES256").public_pem(), [], "is not an unencrypted PEM private key"),
        (b"junk", [], "is neither PEM nor a JWK nor a JWK set"),
        (b'{"kty": "oct", "k": "AAAA", "d": "x"}', [], "is not an RSA, EC or OKP key"),
        (b'{"kty": "EC", "crv": "P-256", "x": "A", "y": "A", "d": "A"}', [], "is not a valid private JWK"),
        (b'{"kty": "EC", "crv": "P-256"}', [], "does not hold exactly one private key"),
    ],
)
def test_a_key_that_cannot_sign_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: list[str], problem: str
) -> None:
    key = tmp_path / "key"
    key.write_bytes(content)
    assert problem in refused(capsys, "mint", "--key", str(key), *WHO, *words)


def test_a_key_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in refused(capsys, "mint", "--key", str(tmp_path / "none"), *WHO)


@pytest.mark.parametrize(
    "words", [["--claim", "novalue"], ["--claim", "=1"], ["--lifetime", "soon"], ["--alg", "none"]]
)
def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["token", "mint", "--key", "k", *WHO, *words])
    assert exited.value.code == 2


def test_a_token_is_decoded_with_its_times_and_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = make_key("EdDSA", "k1").sign(access_claims(NOW, evil="\x1b[31m", auth_time=True, nbf=-1))
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{token}\n"))
    assert main(["token", "decode"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("This does not verify the signature")
    assert '  alg  "EdDSA"\n' in out
    assert f"  exp        {NOW + 600}  2027-01-15 08:10:00 UTC, " in out
    assert "  nbf        -1  no possible time, " in out
    assert "  auth_time  true\n" in out
    assert "\x1b" not in out
    assert main(["token", "decode", token]) == 0
    assert capsys.readouterr().out.startswith("This does not verify the signature")


def test_what_is_no_token_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, "decode", "s3cret") == "not a token: not three segments of base64url characters\n"


def test_times_are_told_in_words() -> None:
    assert moment(NOW) == "2027-01-15 08:00:00 UTC"
    assert distance(NOW + 600, NOW) == "in 10 minutes"
    assert distance(NOW - 1, NOW) == "1 second ago"
    assert distance(NOW - 7200, NOW) == "2 hours ago"
    assert distance(NOW + 10 * 86400, NOW) == "in 10 days"


def test_what_is_wrong_with_a_file_is_told_with_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, other = tmp_path / "missing.pem", tmp_path / "notes.txt"
    other.write_text("no key")
    assert refused(capsys, "mint", "--key", str(missing), *WHO) == f"{missing}: No such file or directory\n"
    assert refused(capsys, "mint", "--key", str(other), *WHO).startswith(f"{other}: the key is neither PEM nor")


def test_a_token_is_signed_with_a_secret_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 48 + b"\n")
    settings = JwtSettings(
        type="jwt",
        issuer="https://id.example",
        audiences=("api",),
        algorithms=("HS256", "HS384"),
        secret_file=Path("secret"),
    )
    authenticator = settings.build("own", offline_resources(tmp_path))
    line = ["token", "mint", "--secret-file", str(tmp_path / "secret"), "--issuer", "https://id.example"]
    for algorithm in ((), ("--alg", "HS384", "--kid", "k")):
        assert main([*line, "--audience", "api", "--subject", "alice", *algorithm]) == 0
        principal = authenticator.authenticate(capsys.readouterr().out.strip(), time.time())
        assert isinstance(principal, Principal)
        assert principal.subject == "alice"


def test_a_secret_that_is_too_short_signs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "secret"
    line = ["token", "mint", "--secret-file", str(file), "--issuer", "i", "--audience", "a", "--subject", "s"]
    file.write_bytes(b"s" * 31)
    assert main(line) == 1
    file.write_bytes(b"s" * 40)
    assert main([*line, "--alg", "HS512"]) == 1
    assert main([*line, "--alg", "EdDSA"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count(f"{file}: the key is ") == 3
