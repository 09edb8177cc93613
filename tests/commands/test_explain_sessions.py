"""`gateway explain` asks no store: it says what it did not look at."""

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.tokens.issue import access_token
from gateway.tokens.refresh_token import make_refresh_token
from tests.minting import AUDIENCE, ISSUER, NOW, make_key
from tests.own_tokens import a_session, key_file, private_jwk, refresh_jwk, usual_keys

CONFIG = f"""\
listen: [{{address: "127.0.0.1:8080"}}]
state: {{url: "sqlite:state.db"}}
sessions: {{issuer: "{ISSUER}", audiences: ["{AUDIENCE}"], key_file: own.json, clients: {{web: {{type: public}}}}}}
authenticators: {{own: {{type: issued}}}}
upstreams: {{orders: {{targets: ["http://127.0.0.1:9000"]}}}}
routes:
  - {{id: plain, match: {{path: /plain}}, upstream: orders}}
  - {{id: inline, match: {{path: /inline}}, upstream: orders, refresh_inline: true, renew: header}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    own = tmp_path / "own.json"
    own.write_bytes(key_file(private_jwk(make_key("EdDSA", "a1")), refresh_jwk()))
    own.chmod(0o600)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


def told(config: Path, path: str, token: str, capsys: pytest.CaptureFixture[str]) -> str:
    arguments = ["--url", f"http://api.example{path}", "--header", f"Authorization: Bearer {token}"]
    status = main(["explain", "--config", str(config), "--at", str(NOW), *arguments])
    out, errors = capsys.readouterr()
    assert (status in (0, 1), errors) == (True, "")
    assert token not in out
    assert "BUG" not in out
    assert not (config.parent / "state.db").exists()
    return " ".join(out.split())


def test_revocation_is_not_looked_at(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = access_token(a_session(), usual_keys().signing_key(NOW), ISSUER, (AUDIENCE,))
    plain = told(config, "/plain", token, capsys)
    assert "revocation not looked at" in plain
    assert plain.endswith("ALLOW")
    assert "renewal" not in plain
    assert "renewal with less than 20% of its life left" in told(config, "/inline", token, capsys)


@pytest.mark.parametrize(
    ("path", "words"),
    [("/plain", "no refresh_inline on this route"), ("/inline", "would be exchanged for a new pair")],
)
def test_a_refresh_token_is_not_exchanged(
    config: Path, capsys: pytest.CaptureFixture[str], path: str, words: str
) -> None:
    token = make_refresh_token(a_session(), usual_keys().refresh_key(NOW), ISSUER, "opaque")
    out = told(config, path, token, capsys)
    assert f"{words}; here it counts as a bad token" in out
    assert "DENY 401 malformed_token" in out
