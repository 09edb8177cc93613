"""Tokens of known issuers pass with the configurations of the guide, and only with the right audience and role."""

import json
import re
from pathlib import Path

import pytest

from tests.pages.blocks import titled
from tests.pages.trying import issuer_at, minted, run, whole

PAGE = "docs/guides/issuers.md"


@pytest.mark.parametrize("name", ["keycloak", "auth0", "entra"])
@pytest.mark.parametrize(("change", "verdict"), [("none", "ALLOW"), ("audience", "DENY"), ("role", "DENY")])
def test_tokens_of_known_issuers_pass_with_the_right_audience_and_role(
    name: str, change: str, verdict: str, tmp_path: Path
) -> None:
    issuer_at(tmp_path)
    config = titled(PAGE, f"{name}.yaml").replace("discovery: true", "jwks_file: jwks.json")
    (tmp_path / "config.yaml").write_text(whole(config))
    claims = json.loads(titled(PAGE, f"{name}.json"))
    if change == "audience":
        claims["aud"] = "somebody else"
    if change == "role":
        claims = json.loads(json.dumps(claims).replace("orders-read", "other"))
    token = minted(tmp_path, claims["iss"], claims, typ="JWT")
    asked = ["--config", "config.yaml", "--url", "http://x.example/orders/1", "--token", "-"]
    said = run("explain", *asked, at=tmp_path, stdin=token, status=0 if verdict == "ALLOW" else 1)
    assert re.search(rf"(?m)^{verdict}\b", said), said
