"""`gateway test` decides as the gateway does, without its keys, and says what is not as expected."""

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from gateway.cli import main
from gateway.commands.schema import cases_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

CONFIG = """\
listen: [{address: "127.0.0.1:8443", tls: {certificate: nowhere.pem, key: nowhere.key}}]
state: {url: "rediss://nowhere.test:6379", ca: nowhere.pem}
sessions:
  issuer: https://gateway.test
  audiences: [https://api.test]
  key_file: nowhere.json
  clients: {web: {type: public}, backend: {type: confidential, secret_file: nowhere.hash}}
  default_client: web
  login: {users: {file: nowhere}}
  alarm: {url: "https://alarms.test/", secret_file: nowhere.secret}
admin: {token_file: nowhere.token}
identity: {issuer: https://gateway.test, key_file: nowhere.pem}
fetch: {ca: nowhere.pem}
traces: {endpoint: "https://traces.test/v1/traces", headers_file: nowhere, ca: nowhere.pem}
trusted_proxies: [10.0.0.0/8]
token_from: [authorization, {cookie: session, origins: ["https://app.test"]}]
authenticators:
  staff: {type: jwt, issuer: "https://staff.test", audiences: [api], discovery: true, leeway: 10s}
  p384: {type: jwt, issuer: "https://p384.test", audiences: [api], algorithms: [ES384], pem_file: nowhere.pem}
  p521: {type: jwt, issuer: "https://p521.test", audiences: [api], algorithms: [ES512], jwks_file: nowhere.json}
  secret: {type: jwt, issuer: "https://secret.test", audiences: [api], algorithms: [HS512], secret_file: nowhere}
  untyped: {type: jwt, issuer: "https://untyped.test", audiences: [api], typ: [absent], pem_file: nowhere.pem}
  own: {type: issued}
inject: [{header: X-User, claim: sub}, {header: X-User-Issuer, claim: iss}, {header: X-Groups, claim: groups}]
upstreams:
  other: {targets: ["http://other.test"]}
  orders:
    targets: ["https://orders.test:9000"]
    tls: {ca: nowhere.pem, certificate: nowhere.pem, key: nowhere.key}
routes:
  - id: orders
    match: {path: "/orders/**", hosts: [api.test], methods: [GET, POST]}
    authenticators: [staff, p384, p521, secret, untyped, own]
    upstream: orders
    rewrite: {strip_prefix: /orders}
    require: [{scopes: [orders]}]
    cors: {origins: ["https://app.test"]}
  - id: fresh
    match: {path: "/fresh"}
    authenticators: [staff]
    upstream: orders
    require: [{max_age: 10m}]
  - id: open
    match: {path: "/open/**"}
    upstream: orders
    access: public
"""
CASES = """\
config: gateway.yaml
defaults: {host: api.test}
callers:
  alice: {authenticator: staff, claims: {scope: orders, groups: [a, b]}}
cases:
"""


class Bench:
    """Runs `gateway test` on cases against the configuration above, whose files and hosts do not exist."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.capsys = capsys
        self.configure(CONFIG)

    def configure(self, text: str) -> None:
        (self.directory / "gateway.yaml").write_text(text)

    def run(self, cases: str, *words: str) -> tuple[int, str]:
        (self.directory / "cases.yaml").write_text(cases)
        status = main(["test", str(self.directory / "cases.yaml"), *words])
        printed = self.capsys.readouterr()
        return status, printed.err if status == 2 else printed.out

    def results(self, cases: str) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = json.loads(self.run(cases, "--format", "json")[1])["results"]
        return results


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


def failures(cases: str, bench: Bench) -> list[str]:
    return [
        f"{each['what']}: {each['expected']} | {each['got']}"
        for result in bench.results(cases)
        for each in result["differences"]
    ]


# --- the examples that people read


def test_the_cases_of_the_example_hold_and_cover_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(ROOT / "cases.yaml"), "--require-coverage"]) == 0
    assert capsys.readouterr().out == "25 passed, 0 failed; 3 of 3 routes covered\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "policy-tests.md").read_text(), re.DOTALL)


def test_the_example_of_the_documentation_prints_what_it_shows(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.directory)
    config, cases, *_ = blocks("yaml")
    Path("gateway.yaml").write_text(config)
    Path("cases.yaml").write_text(cases)
    command, _, shown = blocks("console")[0].partition("\n")
    assert main(command.removeprefix("$ gateway ").split()) == 1
    assert bench.capsys.readouterr().out.strip() == shown.strip()


def test_every_setting_of_a_case_is_documented() -> None:
    text = (DOCS / "policy-tests.md").read_text()
    models = [cases_schema(), *cases_schema()["$defs"].values()]
    names = {name for model in models for name in model["properties"]}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_the_committed_schema_of_cases_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: gateway schema --of cases > docs/cases.schema.json"""
    assert main(["schema", "--of", "cases"]) == 0
    assert (DOCS / "cases.schema.json").read_text() == capsys.readouterr().out


def test_every_setting_of_a_case_is_described_in_the_schema() -> None:
    models = [cases_schema(), *cases_schema()["$defs"].values()]
    settings = [(name, each) for model in models for name, each in model["properties"].items()]
    assert [name for name, each in settings if not {"description", "$ref"} & each.keys()] == []


# --- deciding


RSA = '  rsa: {type: jwt, issuer: "https://rsa.test", audiences: [api], algorithms: [PS512], jwks_uri: "https://rsa.test/"}\n'


@pytest.mark.parametrize("name", ["staff", "rsa", "p384", "p521", "secret", "untyped", "own"])
def test_no_key_of_the_configuration_is_needed_for_any_kind_of_authenticator(name: str, bench: Bench) -> None:
    if name == "rsa":
        bench.configure(
            CONFIG.replace("authenticators:\n", f"authenticators:\n{RSA}").replace("[staff,", "[rsa, staff,")
        )
    cases = f"""\
config: gateway.yaml
defaults: {{host: api.test}}
callers:
  alice: {{authenticator: {name}, claims: {{scope: orders}}}}
  mallory: {{authenticator: {name}, claims: {{scope: orders}}, forged: true}}
cases:
  - {{name: one, caller: alice, request: GET /orders/1, expect: {{headers: {{X-User: alice}}}}}}
  - {{name: two, caller: mallory, request: GET /orders/1, expect: bad_signature}}
"""
    assert failures(cases, bench) == []


REASONS = [
    ("expired: true", "expired_token"),
    ("expired: true, age: 1d", "expired_token"),
    ("revoked: true", "revoked_token"),
    ("revoked: true, claims: {jti: null, scope: orders}", "revoked_token"),
    ("forged: true", "bad_signature"),
    ("typ: JWT", "wrong_type"),
    ("lifetime: 2d", "lifetime_too_long"),
    ("age: 320s", "expired_token"),
    ("claims: {exp: null}", "missing_claim"),
    ("claims: {aud: other}", "wrong_audience"),
    ("claims: {iss: https://other.test}", "unknown_issuer"),
    ("claims: {nbf: 1767272400}", "not_yet_valid"),
    ("claims: {cnf: {jkt: abc}}", "bound_token"),
    ("claims: {scope: orders.read}", "insufficient_scope"),
]


def test_a_token_that_is_not_good_is_refused_for_the_reason_that_the_log_would_give(bench: Bench) -> None:
    lines = ["config: gateway.yaml", "defaults: {host: api.test}", "callers:"]
    lines += [f"  caller-{n}: {{authenticator: staff, {caller}}}" for n, (caller, _) in enumerate(REASONS)]
    lines += ["cases:"]
    lines += [
        f"  - {{name: '{n}', caller: caller-{n}, request: GET /orders/1, expect: {reason}}}"
        for n, (_, reason) in enumerate(REASONS)
    ]
    assert failures("\n".join(lines), bench) == []


REQUESTS = [
    "request: GET /orders/1, caller: alice, expect: {route: orders, upstream: orders, path: /1}",
    "request: GET /orders/1, caller: alice,"
    " expect: {headers: {X-Groups: 'a,b', X-Request-ID: made-anew-for-each-request}}",
    "request: 'GET http://api.test/orders?a=1', caller: alice,"
    " expect: {path: '/?a=1', headers: {X-Forwarded-Proto: http}}",
    "request: 'GET https://api.test', expect: no_route",
    "request: {path: /orders/1, host: other.test}, expect: {reason: no_route, status: 404}",
    "request: {path: /orders/1, headers: {Host: other.test}}, expect: 404",
    "request: GET /orders/1, expect: refuse",
    "request: GET /orders/1, expect: {reason: unauthorized, decision: refuse}",
    "request: GET /open/%2e%2e/orders, expect: 400",
    "request: TRACE /open, expect: ambiguous_target",
    "request: {path: /open, client: 10.1.2.3, headers: {X-Forwarded-For: 198.51.100.7, X-Request-ID: abc}},"
    " expect: {headers: {X-Forwarded-For: '198.51.100.7, 10.1.2.3', X-Request-ID: abc}}",
    "request: {path: /open, client: 192.0.2.9, headers: {X-Forwarded-For: 198.51.100.7}},"
    " expect: {headers: {X-Forwarded-For: 192.0.2.9}}",
    "request: {path: /open, headers: {X_User: root, Accept: [a, b]}},"
    " expect: {headers: {X_User: null, Accept: [a, b]}}",
    "request: {path: /open, https: false}, expect: {headers: {x-forwarded-proto: http}}",
    "request: {method: OPTIONS, path: /orders/1, headers: {Origin: 'https://app.test',"
    " Access-Control-Request-Method: GET}}, expect: {decision: answer, status: 204, route: orders}",
    "request: GET /orders/1, caller: alice, news_age: 1m, expect: {reason: stale_revocations, status: 503}",
    "request: GET /orders/1, caller: alice, news_age: 29s, expect: allow",
    "request: {method: POST, path: /open, headers: {Content-Length: '5'}}, expect: {headers: {Content-Length: '5'}}",
    "request: {method: POST, path: /open, headers: {Transfer-Encoding: [chunked, chunked]}},"
    " expect: unsupported_transfer_coding",
    "request: POST /oauth/token, expect: {route: 'gateway:token'}",
]


def test_a_request_is_decided_as_the_gateway_would(bench: Bench) -> None:
    cases = "".join(f"  - {{name: '{number}', {case}}}\n" for number, case in enumerate(REQUESTS))
    assert failures(CASES + cases, bench) == []


def test_time_is_what_the_cases_say(bench: Bench) -> None:
    cases = """\
config: gateway.yaml
at: 2030-05-05T05:05:05Z
callers:
  now: {authenticator: staff, login_age: 0}
  earlier: {authenticator: staff, login_age: 11m}
  then: {authenticator: staff, claims: {iat: 1000, exp: 1300, auth_time: 1000}}
cases:
  - {name: fresh, caller: now, request: GET /fresh, expect: allow}
  - {name: stale, caller: earlier, request: GET /fresh, expect: insufficient_authentication}
  - {name: long ago, caller: then, at: 1001, request: GET /fresh, expect: allow}
  - {name: and later, caller: then, at: 1970-01-01T00:22:00+00:00, request: GET /fresh, expect: expired_token}
"""
    assert failures(cases, bench) == []


def test_a_token_may_come_in_a_cookie_or_a_header(bench: Bench) -> None:
    bench.configure(CONFIG.replace("{cookie: session,", "{header: X-Token}, {cookie: session,"))
    cases = """\
config: gateway.yaml
callers:
  page: {authenticator: staff, sent_in: cookie session, claims: {scope: orders}}
  job: {authenticator: staff, sent_in: header X-Token, claims: {scope: orders}}
defaults: {host: api.test, headers: {Origin: "https://app.test"}}
cases:
  - name: both
    caller: [page, job]
    request: [GET /orders, POST /orders]
    expect: {headers: {X-Token: null, Cookie: null}}
  - name: from elsewhere
    caller: page
    request: {method: POST, path: /orders, headers: {Origin: null}}
    expect: cross_site_request
"""
    assert failures(cases, bench) == []


def test_variables_of_the_cases_win_over_those_of_the_environment(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.configure(CONFIG.replace("scopes: [orders]", 'scopes: ["${SCOPE}"]'))
    monkeypatch.setenv("SCOPE", "something-else")
    case = "  - {name: one, caller: alice, request: GET /orders, expect: allow}\n"
    assert failures(f"environment: {{SCOPE: orders}}\n{CASES}{case}", bench) == []


def test_a_configuration_on_the_command_line_wins(bench: Bench) -> None:
    shutil.copy(bench.directory / "gateway.yaml", bench.directory / "other.yaml")
    bench.configure("nonsense: true")
    case = f"{CASES}  - {{name: one, caller: alice, request: GET /orders, expect: allow}}\n"
    assert bench.run(case)[0] == 2
    assert bench.run(case, "--config", str(bench.directory / "other.yaml"))[0] == 0


# --- telling


DIFFERENT = [
    (
        "request: GET /orders/1, expect: allow",
        "decision: allow | missing_credentials: no token in Authorization, cookie session",
    ),
    ("request: GET /open, expect: refuse", "decision: refuse | allow"),
    ("request: GET /open, expect: 403", "status: 403 | the upstream's"),
    ("request: GET /orders, expect: 403", "status: 403 | 401"),
    ("request: GET /open, expect: {route: orders}", "route: orders | open"),
    ("request: GET /open, expect: {upstream: other}", "upstream: other | orders"),
    ("request: GET /orders, caller: alice, expect: {path: /orders}", "path: /orders | /"),
    (
        "request: GET /open, expect: {headers: {X-Forwarded-Proto: http}}",
        "header X-Forwarded-Proto: 'http' | 'https'",
    ),
    ("request: GET /open, expect: {headers: {X-User: bob}}", "header X-User: 'bob' | absent"),
    (
        "request: GET /orders, caller: alice, expect: {headers: {X-User: null}}",
        "header X-User: absent | 'alice'",
    ),
]


def test_what_is_not_as_expected_is_told_with_both_sides(bench: Bench) -> None:
    cases = "".join(f"  - {{name: '{number}', {case}}}\n" for number, (case, _) in enumerate(DIFFERENT))
    assert failures(CASES + cases, bench) == [told for _, told in DIFFERENT]


def test_a_broader_reason_does_not_stand_for_another_one(bench: Bench) -> None:
    case = "  - {name: one, request: GET /orders, expect: invalid_token}\n"
    [told] = failures(CASES + case, bench)
    assert told.startswith("reason: invalid_token | missing_credentials: ")


def test_a_failure_says_where_it_is_and_why_the_gateway_decides_so(bench: Bench) -> None:
    case = "  - name: reads\n    caller: alice\n    request: [GET /order/1, GET /orders/1]\n    expect: allow\n"
    status, text = bench.run(CASES + case)
    assert status == 1
    assert (
        f"FAILED {bench.directory}/cases.yaml:6: reads\n  GET /order/1 by alice\n    decision\n      - allow\n" in text
    )
    assert '      near: "orders" (/orders/**) has a similar path' in text
    assert "1 passed, 1 failed" in text


def test_no_token_is_ever_printed(bench: Bench) -> None:
    case = "  - {name: one, caller: alice, request: GET /fresh, expect: {headers: {Authorization: null, X-Y: z}}}\n"
    for words in ([], ["--format", "json"], ["--format", "junit"]):
        assert "eyJ" not in bench.run(CASES + case, *words)[1]


def test_junit_has_one_case_for_each_request_and_the_difference_as_failure(bench: Bench) -> None:
    case = '  - {name: "a <b> \\u0007", caller: [null, alice], request: GET /orders, expect: allow}\n'
    status, text = bench.run(CASES + case, "--format", "junit")
    suite = ElementTree.fromstring(text)
    assert (status, suite.get("tests"), suite.get("failures")) == (1, "2", "1")
    [failed, passed] = suite
    assert failed.get("classname") == "a <b> \\x07"
    assert failed.get("name") == "GET /orders by nobody"
    assert "missing_credentials" in (failed.findtext("failure") or "")
    assert passed.find("failure") is None


def test_verbose_prints_what_passed(bench: Bench) -> None:
    case = "  - {name: one, request: GET /open, expect: allow}\n"
    assert "ok     one: GET /open by nobody" in bench.run(CASES + case, "--verbose")[1]
    assert "ok" not in bench.run(CASES + case)[1]


# --- coverage


COMPLETE = """\
  - {name: allowed, caller: alice, request: GET /orders, expect: allow}
  - {name: fresh, caller: alice-now, request: GET /fresh, expect: allow}
  - {name: refused, request: [GET /orders, GET /fresh], expect: 401}
  - {name: open, request: GET /open, expect: allow}
"""


def test_coverage_can_be_required(bench: Bench) -> None:
    cases = CASES.replace("cases:", "  alice-now: {authenticator: staff, login_age: 0}\ncases:") + COMPLETE
    assert bench.run(cases, "--require-coverage") == (
        0,
        "4 passed, 0 failed; 3 of 3 routes covered\n".replace("4", "5"),
    )
    lacking = (
        cases.replace("GET /orders, GET /fresh", "GET /orders")
        .replace("GET /open", "GET /fresh")
        .replace("name: open, request: GET /fresh, expect: allow", "name: open, request: GET /nowhere, expect: 404")
    )
    status, text = bench.run(lacking)
    assert status == 0
    assert "route fresh: nobody was refused in these cases\nroute open: nobody was allowed in these cases\n" in text
    assert bench.run(lacking, "--require-coverage")[0] == 1
    status, text = bench.run(lacking, "--require-coverage", "--format", "junit")
    assert (status, ElementTree.fromstring(text).get("failures")) == (1, "1")


SHADOWED = """\
  - {id: exactly, match: {path: "/a"}, upstream: orders, access: public}
  - {id: slash, match: {path: "/a/"}, upstream: orders, access: public}
  - {id: below, match: {path: "/a/{x}/**"}, upstream: orders, access: public}
"""


def test_routes_and_methods_that_nothing_comes_to_are_named(bench: Bench) -> None:
    useless = '  - {id: all, match: {path: "/a/**"}, upstream: orders, access: public}\n'
    bench.configure(CONFIG + SHADOWED + useless)
    case = "  - {name: one, request: GET /open, expect: allow}\n"
    assert "no request comes to route all: all are taken by exactly, slash, below" in bench.run(CASES + case)[1]
    bench.configure(
        CONFIG
        + SHADOWED.replace("}, upstream", ", methods: [GET]}, upstream")
        + useless.replace('/**"', '/**", methods: [GET, POST]')
    )
    assert "no GET comes to route all: all are taken by exactly, slash, below" in bench.run(CASES + case)[1]
    assert bench.run(CASES + case, "--require-coverage")[0] == 1


def test_a_route_that_gets_any_request_at_all_is_not_called_unreachable(bench: Bench) -> None:
    for partly in (SHADOWED.replace("/a/{x}/**", "/a/b/**"), ""):
        useful = '  - {id: all, match: {path: "/a/**"}, upstream: orders, access: public}\n'
        hosts = '  - {id: wild, match: {path: "/b", hosts: ["*.test"]}, upstream: orders, access: public}\n'
        bench.configure(CONFIG + partly + useful + hosts)
        assert "comes to route" not in bench.run(f"{CASES}  - {{name: one, request: GET /a, expect: allow}}\n")[1]


# --- mistakes in the file


MISTAKEN = """\
config: gateway.yaml
at: yesterday
defaults: {hosts: api.test, client: nobody}
callers:
  alice: {authentication: staff, sent_in: query token}
cases:
  - {name: one, request: GET/orders, expect: allow}
  - {name: two, request: [GET orders], expect: {decision: maybe}}
  - {request: GET /, expect: {headers: {X-User: a}, status: 200}}
  - {name: four, request: {path: /, headers: {"X Y": "a\\nb"}}}
  - {name: five, request: {path: /, headers: {Content-Length: abc}}, expect: allow}
  - {name: six, request: {path: /, headers: {Transfer-Encoding: gzip}}, expect: allow}
"""


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(bench: Bench) -> None:
    status, text = bench.run(MISTAKEN)
    assert status == 2
    told = [line.removeprefix(f"{bench.directory}/cases.yaml:") for line in text.splitlines()]
    assert [line.split(": ")[0] + " " + line.split(": ")[1] for line in told] == [
        "2 at",
        "3 defaults.client",
        "3 defaults.hosts",
        "5 callers.alice.authentication",
        "5 callers.alice.sent_in",
        "7 cases[0].request[0]",
        "8 cases[1].expect.decision",
        "8 cases[1].request[0].path",
        "9 cases[2].expect",
        "9 cases[2].name",
        "10 cases[3].expect",
        '10 cases[3].request[0].headers["X Y"]',
        '10 cases[3].request[0].headers["X Y"][0]',
        "11 cases[4].request[0].headers",
        "12 cases[5].request[0].headers",
    ]
    assert 'unknown setting "authentication"; did you mean "authenticator"?' in text
    assert '"yesterday" is not a time' in text


UNKNOWN = """\
config: gateway.yaml
callers:
  alice: {authenticator: stuff}
  bob: {}
cases:
  - {name: one, caller: alise, request: GET /, expect: allow}
  - {name: one, request: GET /, expect: insuficient_scope}
"""


def test_names_that_nothing_has_are_mistakes_with_a_suggestion(bench: Bench) -> None:
    _, text = bench.run(UNKNOWN)
    assert 'cases[0].caller: there is no caller "alise"; did you mean "alice"?' in text
    assert "cases[1].name: another case has the same name" in text
    assert 'cases[1].expect: there is no reason "insuficient_scope"; did you mean "insufficient_scope"?' in text


def test_names_that_the_configuration_does_not_have_are_mistakes(bench: Bench) -> None:
    cases = UNKNOWN.split("cases:")[0] + "cases: [{name: one, request: GET /, expect: {route: order, upstream: x}}]\n"
    _, text = bench.run(cases)
    assert 'callers.alice.authenticator: there is no authenticator "stuff"; did you mean "staff"?' in text
    assert "callers.bob: says no authenticator, and the configuration has staff, p384," in text
    assert 'cases[0].expect.route: there is no route "order"; did you mean "orders"?' in text
    assert 'cases[0].expect.upstream: there is no upstream "x"' in text


def without_state() -> str:
    lines = iter(CONFIG.splitlines(keepends=True))
    dropped = re.compile(
        r"(state|sessions|admin):|  (issuer|audiences|key_file|clients|default_client|login|alarm|own):"
    )
    return "".join(line for line in lines if not dropped.match(line)).replace(", own]", "]")


def test_without_state_nothing_can_be_revoked(bench: Bench) -> None:
    bench.configure(without_state())
    cases = """\
config: gateway.yaml
callers: {alice: {authenticator: staff, revoked: true}}
cases: [{name: one, caller: alice, request: GET /fresh, news_age: 1m, expect: 401}]
"""
    _, text = bench.run(cases)
    assert "callers.alice.revoked: without state in the configuration nothing can be revoked" in text
    assert "cases[0].news_age: without state in the configuration there are no revocations" in text
    good = "config: gateway.yaml\ncases: [{name: one, request: GET /fresh, expect: 401}]\n"
    assert bench.run(good)[0] == 0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (CONFIG.replace("upstream: orders", "upstream: order", 1), "routes[0].upstream"),
        (CONFIG + "insecure: [everything]\n", "insecure"),
    ],
)
def test_mistakes_of_the_configuration_end_it(config: str, told: str, bench: Bench) -> None:
    bench.configure(config)
    status, text = bench.run(f"{CASES}  - {{name: one, request: GET /open, expect: allow}}\n")
    assert status == 2
    assert told in text
    assert "nowhere" not in text  # what is not needed is no mistake


def test_a_file_that_cannot_be_read_and_one_without_configuration_are_told(bench: Bench) -> None:
    assert main(["test", str(bench.directory / "none.yaml")]) == 2
    assert "cannot be read" in bench.capsys.readouterr().err
    assert "config: is required, or --config" in bench.run("cases: [{name: a, request: GET /, expect: allow}]\n")[1]
