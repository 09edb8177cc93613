"""`gateway explain` tells the verdict of the gatekeeper, the exact reason, and never the token."""

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.config.compile import compile_config
from gateway.config.load import load_config
from gateway.config.snapshot import Snapshot
from gateway.insight.explaining.text import FANCY_MARKS, PLAIN_MARKS, as_text
from gateway.insight.explaining.token import key_origin
from gateway.insight.explaining.way import explain
from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.mechanisms.base import Resources
from gateway.model.decision import Allow, Deny, Pending
from gateway.model.errors import BadSignature
from gateway.model.request import InboundRequest, Peer
from tests.issuing import Issuer
from tests.minting import ISSUER, NOW, SigningKey, access_claims, jwks, make_key

KEY = make_key("EdDSA", "k1")
OTHER = make_key("EdDSA", "k2")
CONFIG = """\
listen: [{address: "127.0.0.1:8080"}]
trusted_proxies: [10.0.0.0/8]
insecure: [http_issuer]
limits: {token_bytes: 2KiB, identity_bytes: 512}
inject:
  - {header: X-User, claim: sub}
  - {header: X-Groups, claim: groups}
identity: {issuer: "https://gateway.example", key_file: identity.pem}
authenticators:
  staff:
    type: jwt
    issuer: "https://gw.example"
    audiences: ["https://api.example"]
    jwks_file: keys.json
    algorithms: [EdDSA]
  partners:
    {type: jwt, issuer: "https://partners.example", audiences: [api], jwks_uri: "${JWKS_URI:-http://127.0.0.1:1/jwks}"}
  secret:
    {type: jwt, issuer: "https://secret.example", audiences: [api], secret_file: secret, algorithms: [HS256]}
upstreams:
  orders: {targets: ["http://127.0.0.1:9000", "http://127.0.0.1:9001"]}
routes:
  - id: orders
    match: {path: "/orders/**", methods: [GET]}
    authenticators: [staff]
    upstream: orders
    rewrite: {strip_prefix: /orders}
    require:
      - scopes: [orders:read]
  - id: hosted
    match: {path: /hosted, hosts: [api.example.com, "*.example.org"]}
    access: public
    upstream: orders
  - id: sales
    match: {path: /sales}
    authenticators: [staff]
    upstream: orders
    require:
      - {claim: department, equals: sales}
      - scopes: [sales:read]
  - id: recent
    match: {path: /recent}
    authenticators: [staff]
    upstream: orders
    require: [{any: [{max_age: 5m}, {all: [{not: {claim: [a, b], exists: true}}, {principal: client}]}]}]
  - id: page
    match: {path: /page}
    authenticators: [staff]
    upstream: orders
    token_from: [{cookie: session, origins: ["https://app.example.com"]}]
  - id: anywhere
    match: {path: /anywhere}
    authenticators: [staff]
    upstream: orders
    forward_token: true
    token_from: [authorization, {header: X-Access-Token}, {cookie: session}, {subprotocol: bearer.}]
    inject: [{identity_token: X-Identity, audience: orders}]
    cors: {origins: ["https://app.example.com"]}
  - id: passes
    match: {path: /passes}
    authenticators: [staff]
    upstream: orders
    cors: {origins: ["https://app.example.com"], preflight: pass}
  - id: maybe
    match: {path: "/maybe/**"}
    access: optional
    authenticators: [staff]
    upstream: orders
    encoded_slashes: true
  - id: several
    match: {path: /several}
    authenticators: [staff, partners]
    upstream: orders
    subject_without_issuer: true
  - {id: partners, match: {path: /partners}, authenticators: [partners], upstream: orders}
  - {id: secret, match: {path: /secret}, authenticators: [secret], upstream: orders}
  - {id: public, match: {path: /public}, access: public, upstream: orders}
"""
ORDERS = "https://api.example/orders/42"
CROSS_SITE = ["--method", "POST", "--header", "Origin: https://evil.example"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_bytes(jwks(KEY))
    (tmp_path / "identity.pem").write_bytes(OTHER.private_pem())
    (tmp_path / "secret").write_bytes(make_key("HS256").private)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path / "config.yaml"


@pytest.fixture
def snapshot(config: Path) -> Snapshot:
    async def no_fetch(url: str, max_bytes: int) -> bytes:
        raise AssertionError(url)

    resources = Resources(config.parent, no_fetch, lambda: NOW, lambda event, fields: None)
    return compile_config(load_config(config, {}).config, resources)


class Asked:
    """What was printed for one request, in both formats."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str], *words: str, at: float = NOW) -> None:
        line = ["explain", "--config", str(config), "--at", str(at), *words]
        self.status = main(line)
        self.text = capsys.readouterr().out
        assert main([*line, "--json"]) == self.status
        out = capsys.readouterr().out
        self.json: dict[str, Any] = json.loads(out)
        assert self.json["disagreements"] == []
        assert "BUG" not in self.text
        self.all = self.text + out

    def step(self, section: str, name: str) -> tuple[str, str]:
        [step] = [step for step in self.json["steps"] if (step["section"], step["name"]) == (section, name)]
        return step["result"], step["detail"]


def token(**changes: Any) -> str:
    return KEY.sign(access_claims(**changes))


REFUSALS: list[tuple[str, int, str, str | None, Sequence[str]]] = [
    ("expired_token", 401, ORDERS, KEY.sign(access_claims(NOW - 7200)), ()),
    ("not_yet_valid", 401, ORDERS, token(nbf=NOW + 60), ()),
    ("wrong_audience", 401, ORDERS, token(aud="https://other.example"), ()),
    ("wrong_issuer", 401, ORDERS, token(iss="https://evil.example"), ()),
    ("unknown_key", 401, ORDERS, OTHER.sign(access_claims()), ()),
    ("bad_signature", 401, ORDERS, SigningKey("EdDSA", "k1", OTHER.private).sign(access_claims()), ()),
    ("wrong_type", 401, ORDERS, KEY.sign(access_claims(), typ="JWT"), ()),
    ("wrong_algorithm", 401, ORDERS, make_key("ES256", "k1").sign(access_claims()), ()),
    ("insufficient_scope", 403, ORDERS, token(scope="orders:write"), ()),
    ("requirement_not_met", 403, "https://api.example/sales", token(department="support"), ()),
    ("no_route", 404, "https://api.example/nothing", token(), ()),
    ("ambiguous_target", 400, "https://api.example/orders/%2e%2e/admin", token(), ()),
    (
        "cross_site_request",
        403,
        "https://api.example/page",
        None,
        ["--header", f"Cookie: session={token()}", *CROSS_SITE],
    ),
    ("missing_credentials", 401, ORDERS, None, ()),
    ("malformed_token", 401, ORDERS, "not-a-token-at-all", ()),
    ("malformed_credentials", 400, ORDERS, "two words-and-more", ()),
    ("oversized_token", 400, ORDERS, "x" * 2100, ()),
    ("several_credentials", 400, "https://api.example/anywhere", token(), ["--header", f"X-Access-Token: {token()}"]),
    ("unsupported_header", 401, ORDERS, KEY.sign(access_claims(), crit=["b64"]), ()),
    ("missing_claim", 401, ORDERS, token(iat=None), ()),
    ("invalid_claim", 401, ORDERS, token(exp="tomorrow"), ()),
    ("lifetime_too_long", 401, ORDERS, token(exp=NOW + 10**6), ()),
    ("bound_token", 401, ORDERS, token(cnf={"jkt": "x"}), ()),
    ("unknown_issuer", 401, "https://api.example/several", token(iss="https://evil.example"), ()),
    ("oversized_identity", 401, ORDERS, token(groups=["g" * 600]), ()),
    ("insufficient_authentication", 401, "https://api.example/recent", token(auth_time=NOW - 3600), ()),
    ("keys_unavailable", 503, "https://api.example/partners", token(iss="https://partners.example"), ["--offline"]),
    ("ambiguous_host", 400, "https://a..b/orders", token(), ()),
    ("ambiguous_header", 400, ORDERS, token(), ["--header", "Connection: authorization"]),
    (
        "origin_not_allowed",
        403,
        "https://api.example/anywhere",
        None,
        [
            "--method",
            "OPTIONS",
            "--header",
            "Origin: https://evil.example",
            "--header",
            "Access-Control-Request-Method: GET",
        ],
    ),
]


@pytest.mark.parametrize(("reason", "status", "url", "sent", "words"), REFUSALS, ids=[each[0] for each in REFUSALS])
def test_every_refusal_has_its_exact_reason_and_the_token_stays_secret(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    reason: str,
    status: int,
    url: str,
    sent: str | None,
    words: Sequence[str],
) -> None:
    asked = Asked(config, capsys, "--url", url, *words, *([] if sent is None else ["--token", sent]))
    assert asked.status == 1
    assert (asked.json["verdict"], asked.json["reason"], asked.json["status"]) == ("deny", reason, status)
    assert asked.json["response"]["status"] == status
    assert asked.json["forwarded"] is None
    failed = [step for step in asked.json["steps"] if step["result"] == "no"]
    assert any(f"{reason}: {asked.json['detail']}" in step["detail"] for step in failed)
    assert f"DENY  {status} {reason}" in asked.text
    for secret in [sent, *(word.partition("session=")[2] or word.partition("Token: ")[2] for word in words)]:
        assert not secret or secret not in asked.all
    assert "eyJ" not in asked.all


def test_each_reason_is_told_apart() -> None:
    assert len({reason for reason, *_ in REFUSALS}) == len(REFUSALS) >= 10


def test_a_good_request_shows_what_the_upstream_gets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = token()
    words = ["--header", "X-User: root", "--header", "X-Api-Key: s3cret", "--header", "Accept: */*"]
    asked = Asked(config, capsys, "--url", f"{ORDERS}?page=2&access_token={good}", "--token", good, *words)
    assert asked.status == 0
    assert asked.json["forwarded"] == {
        "upstream": "orders",
        "targets": ["http://127.0.0.1:9000", "http://127.0.0.1:9001"],
        "head": [
            "GET /42?page=2 HTTP/1.1",
            "Host: api.example",
            "X-Api-Key: <hidden, 6 bytes>",
            "Accept: */*",
            "X-User: alice",
            "X-Principal-Type: user",
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: api.example",
            "X-Request-ID: made-anew-for-each-request",
        ],
        "removed": ["X-User", "Authorization"],
    }
    assert asked.text.endswith("\nALLOW\n")
    assert "removed, as it came from the client: X-User, Authorization" in asked.text
    assert good not in asked.all
    assert "s3cret" not in asked.all


def test_every_check_of_the_token_is_shown_with_its_values(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", ORDERS, "--token", token())
    assert asked.step("signature", "algorithm") == ("ok", "alg = 'EdDSA', expected one of ['EdDSA']")
    assert asked.step("signature", "key") == ("ok", "1 fits kid 'k1' and alg EdDSA, from jwks_file keys.json")
    assert "thumbprint " in asked.step("signature", "signature")[1]
    assert asked.step("claims", "issuer") == ("ok", f"iss = '{ISSUER}', expected '{ISSUER}'")
    expiry = f"exp = {NOW + 600}, now = {NOW}, leeway 5 s (2027-01-15 08:10:00 UTC, in 10 minutes)"
    assert asked.step("claims", "expiry") == ("ok", expiry)
    assert asked.step("require", "scope orders:read") == ("ok", "holds")
    caller = "'alice', a user, by staff; scopes: orders:read orders:write"
    assert asked.step("caller", "proven") == ("ok", caller)


def test_all_failing_checks_are_shown_and_the_first_is_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(config, capsys, "--url", ORDERS, "--token", KEY.sign(access_claims(NOW - 7200, aud="x"), typ="JWT"))
    failed = [step["name"] for step in asked.json["steps"] if step["result"] == "no"]
    assert failed == ["type", "audience", "expiry", "proven"]
    assert asked.json["reason"] == "wrong_type"
    assert asked.step("signature", "key")[1] == "not looked for, because of the header"
    assert asked.step("claims", "unproven") == ("note", "anybody may have written these claims")


def test_all_requirements_are_shown_and_the_first_that_fails_is_the_reason(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/sales", "--token", token(department="support"))
    assert asked.step("require", "department") == ("note", '"support"')
    result, detail = asked.step("require", "department = sales")
    assert result == "no"
    assert detail.startswith("requirement_not_met: claim department ")
    assert asked.step("require", "scope sales:read")[0] == "no"
    assert asked.json["reason"] == "requirement_not_met"


def test_an_unknown_key_is_shown_with_those_that_are_known(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", ORDERS, "--token", OTHER.sign(access_claims()))
    known = "kid 'k1' (EdDSA), from jwks_file keys.json; asked for: kid 'k2'"
    assert asked.step("signature", "known keys") == ("note", known)


def test_why_another_authenticator_was_not_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/several", "--token", token())
    said = f"the token says '{ISSUER}'"
    assert asked.step("authenticators", "staff")[1] == f"asked: takes iss '{ISSUER}', {said}"
    assert asked.step("authenticators", "partners")[1] == f"not asked: takes iss 'https://partners.example', {said}"


def test_a_token_that_no_authenticator_can_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/several", "--token", "not-a-token")
    assert asked.json["reason"] == "unknown_issuer"
    assert asked.step("authenticators", "the token")[1].startswith("malformed_token: ")


def test_the_thumbprint_of_a_secret_stays_secret(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = make_key("HS256").sign(access_claims(iss="https://secret.example", aud="api"))
    asked = Asked(config, capsys, "--url", "https://api.example/secret", "--token", sent)
    assert asked.step("signature", "signature") == ("ok", "made by the oct key with kid None")


def test_a_token_where_the_route_does_not_look(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/page", "--token", token())
    assert asked.json["reason"] == "missing_credentials"
    assert asked.step("token", "cookie session") == ("note", "nothing")
    assert "does not look there" in asked.step("token", "Authorization")[1]


@pytest.mark.parametrize(
    "header",
    ["Authorization: Bearer {}", "X-Access-Token: {}", "Cookie: a=b; session={}", "Sec-WebSocket-Protocol: bearer.{}"],
)
def test_credentials_are_hidden_wherever_they_are(
    config: Path, capsys: pytest.CaptureFixture[str], header: str
) -> None:
    good = token()
    words = ["--header", header.format(good), "--header", "Connection: Upgrade", "--header", "Upgrade: websocket"]
    origin = ["--header", "Sec-Fetch-Site: same-origin"]
    asked = Asked(config, capsys, "--url", "https://api.example/anywhere", *words, *origin)
    assert asked.status == 0
    assert f"{header.partition(':')[0]}: <hidden" in asked.text
    assert "X-Identity: <hidden" in asked.text
    assert good not in asked.all
    assert "eyJ" not in asked.all


def test_a_public_route_looks_at_no_token(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/public", "--token", "junk-junk-junk")
    assert asked.status == 0
    assert asked.step("token", "not looked at") == ("note", "the route is public")


def test_an_optional_route_takes_anonymous_callers(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = Asked(config, capsys, "--url", "https://api.example/maybe/a%2Fb")
    assert asked.status == 0
    assert asked.step("token", "required")[1] == "no: the route takes anonymous callers"
    assert asked.step("route", "encoded slash")[0] == "ok"


def test_a_preflight_is_answered_or_passed_on(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--method", "options", "--header", "Origin: https://app.example.com"]
    words += ["--header", "Access-Control-Request-Method: GET", "--url"]
    answered = Asked(config, capsys, *words, "https://api.example/anywhere")
    assert (answered.status, answered.json["verdict"], answered.json["status"]) == (0, "answer", 204)
    assert "ALLOW  the gateway answers itself: 204 No Content" in answered.text
    passed = Asked(config, capsys, *words, "https://api.example/passes")
    assert (passed.status, passed.json["verdict"], passed.json["route"]) == (0, "allow", "passes")


@pytest.mark.parametrize(
    ("url", "words", "near"),
    [
        (ORDERS, ["--method", "DELETE"], '"orders" (/orders/**) takes this path, but only for GET'),
        ("https://a/sales/", [], '"sales" (/sales) takes /sales, without a slash at the end'),
        ("https://a/hosted", [], '"hosted" (/hosted) takes this path, but only on api.example.com, *.example.org'),
        ("https://a/salse", [], '"sales" (/sales) has a similar path'),
        ("https://a/qqqqqqqqqqqq", [], None),
    ],
)
def test_the_nearest_routes_are_named(
    config: Path, capsys: pytest.CaptureFixture[str], url: str, words: list[str], near: str | None
) -> None:
    asked = Asked(config, capsys, "--url", url, *words)
    found = [step["detail"] for step in asked.json["steps"] if step["name"] == "near"]
    assert found[:1] == ([near] if near else [])


def test_a_trusted_proxy_is_believed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--peer", "10.1.2.3", "--header", "X-Forwarded-For: 192.0.2.7"]
    asked = Asked(config, capsys, "--url", "http://api.example/public", *words)
    assert asked.step("request", "from") == ("note", "10.1.2.3, a trusted proxy; the client is 192.0.2.7")
    assert "X-Forwarded-For: 192.0.2.7, 10.1.2.3" in asked.json["forwarded"]["head"]


def test_the_json_keys_are_always_the_same(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = {"verdict", "status", "reason", "detail", "route", "steps", "response", "forwarded", "disagreements"}
    for words in (["--url", ORDERS], ["--url", ORDERS, "--token", token()], ["--url", "https://a/x"]):
        asked = Asked(config, capsys, *words)
        assert set(asked.json) == keys
        assert {key for step in asked.json["steps"] for key in step} == {
            "section",
            "name",
            "result",
            "detail",
            "authenticator",
        }


def test_the_token_comes_from_standard_input(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(token() + "\n"))
    assert main(["explain", "--config", str(config), "--url", ORDERS, "--token", "-", "--at", str(NOW)]) == 0
    assert capsys.readouterr().out.endswith("ALLOW\n")


async def test_keys_are_fetched_as_the_data_plane_does(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Issuer(KEY).running() as issuer:
        monkeypatch.setenv("JWKS_URI", f"{issuer.jwks_uri}?secret=1")
        sent = KEY.sign(access_claims(iss="https://partners.example", aud="api"))
        asked = await asyncio.to_thread(Asked, config, capsys, "--url", "https://a/partners", "--token", sent)
    assert asked.status == 0
    assert asked.step("signature", "fetch") == ("note", "keys_fetched: keys 1, withdrawn 0")
    assert asked.step("signature", "key")[1].endswith(f"from jwks_uri {issuer.jwks_uri}")
    assert "secret=1" not in asked.all


def test_a_failed_fetch_says_why(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sent = KEY.sign(access_claims(iss="https://partners.example", aud="api"))
    asked = Asked(config, capsys, "--url", "https://a/partners", "--token", sent, "--offline")
    assert "because of --offline" in asked.step("signature", "fetch")[1]
    assert asked.json["response"]["headers"]["Retry-After"] == "5"


def test_steps_that_disagree_with_the_verdict_are_reported_as_a_bug(snapshot: Snapshot) -> None:
    headers = [(b"Host", b"api.example"), (b"Authorization", b"Bearer " + token().encode())]
    request = InboundRequest("GET", b"/orders/1", headers, Peer("127.0.0.1"))
    good = snapshot.gatekeeper.decide(request)
    assert isinstance(good, Allow)
    assert explain(snapshot, request, good, NOW, []).disagreements == ()
    wrong = explain(snapshot, request, Deny(good.route, BadSignature("made up")), NOW, [])
    assert wrong.disagreements == ("the steps come to allow, the verdict is bad_signature: made up",)
    assert "!!! THIS IS A BUG IN THE GATEWAY: the steps come to allow" in as_text(wrong, PLAIN_MARKS)


def test_checks_that_disagree_with_the_authenticator_are_reported_as_a_bug(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = [(b"Host", b"api.example"), (b"Authorization", b"Bearer " + token().encode())]
    request = InboundRequest("GET", b"/orders/1", headers, Peer("127.0.0.1"))
    good = snapshot.gatekeeper.decide(request)
    assert not isinstance(good, Pending)
    monkeypatch.setattr("gateway.insight.explaining.token.CLAIM_CHECKS", ())
    monkeypatch.setattr("gateway.insight.explaining.token.HEADER_CHECKS", ())
    monkeypatch.setattr("gateway.insight.explaining.token.signing_key", _no_key)
    [bug] = explain(snapshot, request, good, NOW, []).disagreements
    assert bug == "the checks by staff come to bad_signature: made up, its answer is allow"


async def test_keys_that_never_come_end_undecided(snapshot: Snapshot) -> None:
    rounds = []

    async def ready() -> None:
        rounds.append(1)

    class NeverReady:
        def lookup(self, kid: str | None, alg: str, now: float) -> Pending:
            return Pending(ready)

    snapshot.authenticators["staff"].keys = NeverReady()
    headers = [(b"Host", b"api.example"), (b"Authorization", b"Bearer " + token().encode())]
    request = InboundRequest("GET", b"/orders/1", headers, Peer("127.0.0.1"))
    verdict = await snapshot.gatekeeper.settle(request, snapshot.gatekeeper.decide(request))
    explanation = explain(snapshot, request, verdict, NOW, [])
    assert explanation.disagreements == ()
    assert "DENY  503 unavailable" in as_text(explanation, PLAIN_MARKS)
    assert len(rounds) == 3


def _no_key(*_: object) -> None:
    raise BadSignature("made up")


def test_marks_are_for_terminals_that_can_show_them(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["explain", "--config", str(config), "--url", ORDERS, "--at", str(NOW)]
    main(line)
    assert "  ok canonical form" in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    main(line)
    out = capsys.readouterr().out
    assert f"  {FANCY_MARKS['ok']} canonical form" in out
    assert FANCY_MARKS["no"] in out


def test_letters_that_the_terminal_does_not_have_are_escaped(config: Path) -> None:
    words = ["--config", str(config), "--url", ORDERS, "--at", str(NOW), "--token", token(sub="Zoë\x1b[31m")]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "explain", *words],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    assert b"Zo\\xeb" in done.stdout
    assert b"\x1b" not in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "/orders"],
        ["--url", ORDERS, "--header", "Authorization Bearer s3cret-s3cret"],
        ["--url", ORDERS, "--header", "X: s3cret-s3cret\r\nY: z"],
        ["--url", ORDERS, "--header", "Content-Length: s3cret-s3cret"],
        ["--url", ORDERS, "--header", "Transfer-Encoding: s3cret-s3cret"],
        ["--url", ORDERS, "--peer", "s3cret-s3cret"],
    ],
)
def test_wrong_usage_is_told_without_the_value(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["explain", "--config", str(config), *words])
    assert exited.value.code == 2
    assert "s3cret" not in capsys.readouterr().err


def test_a_body_and_a_fragment_do_not_matter(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--header", "Content-Length: 12", "--header", "Host: other.example", "--peer", "unix"]
    asked = Asked(config, capsys, "--url", "http://a.example/public?x#y", *words, "--method", "post")
    assert asked.json["forwarded"]["head"][0] == "POST /public?x HTTP/1.1"
    assert "Content-Length: 12" in asked.json["forwarded"]["head"]
    assert asked.step("target", "canonical form") == ("ok", "host other.example, path /public")


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ("realm: 7\n", "realm: must be text"),
        ("", "authenticators.staff.jwks_file: "),
        (
            "  - {id: twin, match: {path: /public}, access: public, upstream: orders}",
            'routes "public" and "twin" match',
        ),
    ],
)
def test_mistakes_in_the_configuration_are_usage(
    config: Path, capsys: pytest.CaptureFixture[str], change: str, mistake: str
) -> None:
    config.write_text(CONFIG + change)
    if not change.startswith(" "):
        (config.parent / "keys.json").write_text("{}")
    assert main(["explain", "--config", str(config), "--url", ORDERS]) == 2
    captured = capsys.readouterr()
    assert mistake in captured.err
    assert captured.out == ""


def test_discovered_keys_are_told_by_the_metadata_that_names_them() -> None:
    settings = JwtSettings(type="jwt", issuer="https://id.example", audiences=("api",), discovery=True)
    assert key_origin(settings) == "the metadata of https://id.example"


def test_our_own_keys_are_told_by_where_they_are() -> None:
    assert key_origin(IssuedSettings(type="issued")) == "the gateway's own key file"


def test_rate_limits_are_shown_and_nothing_is_counted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limits = (
        "rate_limits: [{by: client_address, requests: 1, per: 1m}, {by: subject, requests: 2, per: 1s, burst: 9}]\n"
    )
    config.write_text(CONFIG + limits)
    for _ in range(3):
        asked = Asked(config, capsys, "--url", ORDERS, "--token", token(), "--peer", "2001:db8::7")
        assert asked.status == 0
    assert asked.step("rate_limits", "client_address") == (
        "note",
        "1 in 60 s, 1 at once, in each process; asked before the token, for 2001:db8::/64; not counted here",
    )
    words = "2 in 1 s, 9 at once, in each process; asked when all else holds"
    assert asked.step("rate_limits", "subject") == ("note", f"{words}; not counted here")
    assert "Rate limits" in asked.text
    maybe = Asked(config, capsys, "--url", "https://api.example/maybe/x")
    assert maybe.step("rate_limits", "subject")[1] == f"{words}; nobody without a token; not counted here"
    shared = "{by: client_address, requests: 1, per: 1m, shared: true}"
    config.write_text(f"{CONFIG}state: {{url: redis://127.0.0.1}}\nrate_limits: [{shared}]\n")
    public = Asked(config, capsys, "--url", "https://api.example/public")
    assert "over all processes" in public.step("rate_limits", "client_address")[1]
