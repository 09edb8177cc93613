"""A configuration is loaded whole, or everything that is wrong with it is told at once."""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.compile import CompileMistakes
from gateway.config.load import Loaded, load_config, load_text
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config
from gateway.model.upstream import Address

GOOD = """\
listen:
  - address: 127.0.0.1:${PORT:-8080}
trusted_proxies: [10.0.0.0/8, unix]
inject:
  - {header: X-User, claim: sub}
authenticators:
  staff: {type: jwt, issuer: "https://id.example", audiences: [api], jwks_uri: "https://id.example/keys"}
upstreams:
  orders: {targets: ["http://127.0.0.1:9000"]}
routes:
  - id: orders
    match: {path: "/orders/**", methods: [GET]}
    upstream: orders
    require:
      - any: [{scopes: [read]}, {not: {principal: user}}]
  - {id: health, match: {path: /health}, access: public, upstream: orders}
"""


def mistakes(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigMistakes) as caught:
        load_text(textwrap.dedent(text), environment)
    return str(caught.value).splitlines()


def about(section: str, text: str, **environment: str) -> list[str]:
    """Return the mistakes about one top-level section, added to a good configuration."""
    good = load_text(GOOD, {}).document.data
    others = "\n".join(f"{name}: {json.dumps(value)}" for name, value in good.items() if name != section)
    found = mistakes(f"{others}\n{textwrap.dedent(text)}", **environment)
    return [line.partition(": ")[2] for line in found if f" {section}" in line]


def test_a_good_configuration_is_loaded_with_its_lines() -> None:
    loaded = load_text(GOOD, {})
    assert isinstance(loaded, Loaded)
    assert loaded.config.listen[0].address == Address("127.0.0.1", 8080)
    assert [route.id for route in loaded.config.routes] == ["orders", "health"]
    later = loaded.mistakes(CompileMistakes([(("routes", 1, "match"), "bad")]))
    assert str(later) == "config.yaml:16: routes[1].match: bad"


def test_variables_come_from_the_environment_that_is_given() -> None:
    assert load_text(GOOD, {"PORT": "81"}).config.listen[0].address.port == 81


def test_all_mistakes_are_told_at_once_with_line_and_path() -> None:
    assert mistakes(
        """\
        listen:
          - address: 8080
          - address: 127.0.0.1:8080
          - address: 127.0.0.1:8080
        trusted_proxies: [10.0.0.0/8, everybody, 0.0.0.0/0]
        authenticators:
          staff: {type: jwt, issuer: "https://id.example", audiences: [api], jwks_uri: "https://id.example/keys"}
          other: {type: jwt, issuer: "${ISSUER}", audiences: api, jwks_file: keys.json, leeway: 10m}
        upstreams:
          orders:
            targets: [ftp://orders]
            conections: 3
          users: {targets: ["http://127.0.0.1:9001"], tls: {verify: no}}
        timeouts:
          head: soon
          drain: -1
        limits:
        routes:
          - id: orders
            match: {path: /orders, methods: [get]}
            upstream: orders
            authenticators: [staff]
            require:
              - any: [{scopes: [a]}, {acr: [x], max_age: later}]
          - id: users
            match: {path: "/users/{id}"}
            upstream: usres
            authenticators: [staff, stuff]
            rewrite: {strip_prefix: /user}
            inject: [{header: Host, claim: sub}]
            inject: []
          - id: users
            match: {path: /users}
            upstream: users
          - {id: late, upstream: orders, access: everyone}
        """
    ) == [
        "config.yaml:2: listen[0].address: must be text; put it in quotes",
        "config.yaml:4: listen[2].address: 127.0.0.1:8080 is already the address of listen[1]",
        'config.yaml:5: trusted_proxies[1]: "everybody" is not a network; write 10.0.0.0/8, fd00::/8 or unix',
        "config.yaml:5: trusted_proxies[2]: 0.0.0.0/0 trusts nearly everybody; "
        "name your proxies, or accept it: insecure: [trust_every_proxy]",
        'config.yaml:8: authenticators.other.audiences: must be a list, not "api"; write [api]',
        "config.yaml:8: authenticators.other.issuer: the environment variable ISSUER is not set",
        'config.yaml:8: authenticators.other.leeway: must be at most 300, not "10m"',
        'config.yaml:11: upstreams.orders.targets[0]: "ftp://orders" is not a target; '
        "write http://127.0.0.1:9000, https://orders.internal or unix:/run/app.sock",
        'config.yaml:12: upstreams.orders.conections: unknown setting "conections"; did you mean "connections"?',
        'config.yaml:13: upstreams.users.tls.verify: "no" is a boolean in some versions of YAML and text in others; '
        "write false, or put it in quotes",
        'config.yaml:15: timeouts.head: "soon" is not a duration; write 500ms, 10s, 5m, 1h or 1d',
        "config.yaml:16: timeouts.drain: must be at least 0, not -1",
        "config.yaml:17: limits: must be a mapping, but nothing is given",
        'config.yaml:20: routes[0].match.methods[0]: must match ^[A-Z]+(?:-[A-Z]+)*$, not "get"; did you mean "GET"?',
        'config.yaml:24: routes[0].require[0].any[1].max_age: "later" is not a duration; '
        "write 500ms, 10s, 5m, 1h or 1d",
        'config.yaml:27: routes[1].upstream: unknown upstream "usres"; did you mean "users"?',
        'config.yaml:28: routes[1].authenticators[1]: unknown authenticator "stuff"; did you mean "staff"?',
        'config.yaml:29: routes[1].rewrite.strip_prefix: "/user" is not how every path of this route begins ("/users")',
        "config.yaml:30: routes[1].inject[0]: Host cannot be injected; choose another header",
        "config.yaml:31: routes[1].inject: given twice; it stands already in line 30",
        "config.yaml:32: routes[2]: several authenticators are configured; "
        "write authenticators: with one or more of other, staff",
        'config.yaml:32: routes[2].id: "users" is already the id of routes[1]',
        'config.yaml:35: routes[3].access: must be "protected", "optional" or "public", not "everyone"',
        "config.yaml:35: routes[3].match: is required",
    ]


def test_syntax_that_cannot_be_read_is_told_alone() -> None:
    [mistake] = mistakes("listen: [\n")
    assert mistake.startswith("config.yaml:2: not valid YAML: ")


def test_missing_sections_are_all_told() -> None:
    assert mistakes("realm: x") == [
        "config.yaml:1: listen: is required",
        "config.yaml:1: routes: is required",
        "config.yaml:1: upstreams: is required",
    ]


def test_a_broken_upstream_is_not_also_unknown() -> None:
    [mistake] = mistakes(GOOD.replace("http://127.0.0.1:9000", "nowhere"))
    assert mistake.startswith("config.yaml:9: upstreams.orders.targets[0]: ")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("type: jwtt", 'type: must be "jwt" or "issued", not "jwtt"; did you mean "jwt"?'),
        ("typ: jwt", "type: is required"),
        ("type: ~", 'type: must be "jwt" or "issued", but nothing is given'),
        ("type: [jwt]", 'type: must be "jwt" or "issued"'),
    ],
)
def test_the_setting_that_says_which_kind_it_is_is_told_like_any_other(written: str, message: str) -> None:
    assert mistakes(GOOD.replace("type: jwt", written)) == [f"config.yaml:7: authenticators.staff.{message}"]


def test_a_broken_authenticator_still_counts() -> None:
    assert len(mistakes(GOOD.replace("type: jwt", "type: jwtt"))) == 1


@pytest.mark.parametrize("section", ["upstreams", "authenticators"])
def test_without_a_readable_section_its_names_are_not_called_unknown(section: str) -> None:
    assert mistakes(GOOD.replace(f"{section}:\n", f"{section}: [x]\nlog:\n", 1))[0].endswith("must be a mapping")
    assert not any("unknown upstream" in line for line in mistakes(GOOD.replace("upstreams:", "upstream:", 1)))


def test_a_mistake_inside_a_union_has_its_path_in_the_file() -> None:
    assert about(
        "inject",
        """\
        inject:
          - {headr: X, claim: sub}
          - {header: X Y, value: a}
          - {header: X, claim: [1]}
          - {header: X}
          - {header: X, claims: sub}
        """,
    ) == [
        "inject[0].header: is required",
        'inject[0].headr: unknown setting "headr"; did you mean "header"?',
        'inject[1].header: must be a header name without spaces and underscores, not "X Y"',
        "inject[2].claim[0]: must be text; put it in quotes",
        "inject[3]: must have one of the keys claim, value, template, identity_token",
        'inject[4]: must have one of the keys claim, value, template, identity_token; did you mean "claim"?',
    ]


def test_one_value_for_a_list_is_told_how_to_write_it() -> None:
    assert about("upstreams", "upstreams: {a: {targets: 'http://a:1'}}") == [
        'upstreams.a.targets: must be a list, not "http://a:1"; write ["http://a:1"]'
    ]


def test_an_address_for_a_network_is_told_its_network() -> None:
    assert about("trusted_proxies", "trusted_proxies: [10.0.0.1/8, 10.0.0.1, '::1/64']") == [
        'trusted_proxies[0]: "10.0.0.1/8" is an address within a network; did you mean "10.0.0.0/8"?',
        'trusted_proxies[2]: "::1/64" is an address within a network; did you mean "::/64"?',
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hosts: [*.example.com]", 'text that begins with * needs quotes: "*.example.com"'),
        ("a: @x", "text that begins with @, ` or % needs quotes"),
        ("listen\n  - a: b", "is a colon missing in the line before, or is this line indented too far?"),
        ("a:\n  - b\n c: d", "is this line indented like those it belongs to?"),
    ],
)
def test_what_is_no_yaml_comes_with_what_is_most_often_the_reason(text: str, hint: str) -> None:
    [mistake] = mistakes(text)
    assert hint in mistake


def test_a_value_that_no_member_of_a_union_takes_is_one_mistake() -> None:
    text = GOOD.replace("{scopes: [read]}", "{claim: x, equals: [a]}")
    assert mistakes(text) == [
        "config.yaml:15: routes[0].require[0].any[0].equals: must be text, a whole number, a number or true or false"
    ]


def test_a_bad_name_is_told_apart_from_a_bad_value() -> None:
    assert about("upstreams", "upstreams: {a b: {}}") == [
        'upstreams["a b"]: the name must be at most 64 letters, digits, ".", "_" and "-", '
        "the first a letter or a digit",
        'upstreams["a b"].targets: is required',
    ]


def test_a_list_of_invalid_items_is_not_also_called_empty() -> None:
    assert about("token_from", "token_from: [x]") == [
        'token_from[0]: must be authorization, or have one of the keys header, cookie, subprotocol, not "x"'
    ]
    assert about("token_from", "token_from: []") == ["token_from: must not be empty"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("limits: {connections: 0}", "limits.connections: must be at least 1, not 0"),
        ("limits: {connections: many}", 'limits.connections: must be a whole number, not "many"'),
        ("limits: {connections: 1.5}", "limits.connections: must be a whole number, not 1.5"),
        ("limits: {connections: [1]}", "limits.connections: must be a whole number"),
        ("realm: 1", "realm: must be text; put it in quotes"),
        ("realm: true", "realm: must be text; put it in quotes"),
        ("realm: ", "realm: must be text, but nothing is given"),
        ("listen: [{address: [1]}]", "listen[0].address: must be text"),
        ("version: 2", "version: must be 1, not 2"),
        ("insecure: [trust_evry_proxy]",
         'insecure[0]: must be "trust_every_proxy", "http_issuer", "http_login", "http_alarm", '
         '"no_audience", "short_hmac_key", "weak_rsa_key" '
         'or "unverified_upstream_tls", not "trust_evry_proxy"; did you mean "trust_every_proxy"?'),
        ("cors: {origins: ['*'], credentials: true}", 'cors: credentials need a list of origins, not "*"'),
        ("ops: []", "ops: must be a mapping"),
        ("log: {access: maybe}", 'log.access: must be true or false, not "maybe"'),
        ("headers: {request_id: " + "X" * 129 + "}",
         "headers.request_id: must not have more characters than 128, not \"" + "X" * 60 + '…"'),
    ],
)  # fmt: skip
def test_messages_are_for_people(text: str, mistake: str) -> None:
    assert about(text.partition(":")[0], text) == [mistake]


def test_a_secret_is_never_shown() -> None:
    found = mistakes(GOOD.replace('jwks_uri: "https://id.example/keys"', "secret_file: [hunter2], secret: hunter2"))
    assert len(found) == 2
    assert "hunter2" not in str(found)


def test_a_secret_that_stands_where_its_hash_belongs_is_never_shown() -> None:
    [told] = about(
        "sessions",
        "sessions: {issuer: 'https://gw.example', audiences: [a], key_file: k, "
        "clients: {svc: {type: confidential, secret_hashes: [hunter2]}}}",
    )
    assert told.startswith("sessions.clients.svc.secret_hashes[0]: ")
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "text",
    [
        "listen: [{address: '${SECRET}'}]",
        "log: {level: '${SECRET}'}",
        "limits: {connections: '${SECRET}'}",
        "realm: '\"${SECRET}'",
        "cors: {max_age: '${SECRET}'}",
        "insecure: ['${SECRET}']",
        "trusted_proxies: ['${SECRET}']",
        "token_from: ['${SECRET}']",
    ],
)
def test_a_value_from_the_environment_is_never_shown(text: str) -> None:
    assert "hunter2" not in str(about(text.partition(":")[0], text, SECRET="hunter2"))


def test_a_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD.replace("routes:", "routs:"))
    with pytest.raises(ConfigMistakes) as caught:
        load_config(file, {})
    assert str(caught.value).splitlines() == [
        f"{file}:1: routes: is required",
        f'{file}:10: routs: unknown setting "routs"; did you mean "routes"?',
    ]


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigMistakes) as caught:
        load_config(tmp_path / "missing.yaml", {})
    assert str(caught.value) == f"{tmp_path / 'missing.yaml'}: cannot be read: No such file or directory"


def test_a_good_file_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD)
    assert load_config(tmp_path / "gateway.yaml", {}).config == load_text(GOOD, {}).config


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    upstreams = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    authenticators = draw(st.lists(NAMES, min_size=1, max_size=2, unique=True))
    routes = [
        {
            "id": route_id,
            "match": {"path": f"/{route_id}/**", "methods": draw(st.sampled_from([["GET"], ["PUT", "POST"]]))},
            "upstream": draw(st.sampled_from(upstreams)),
            "authenticators": [draw(st.sampled_from(authenticators))],
            "require": draw(st.sampled_from([[], [{"scopes": ["a"]}], [{"any": [{"max_age": "5m"}]}]])),
        }
        for route_id in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    ]
    issuer = {"type": "jwt", "issuer": "https://id.example", "audiences": ["api"], "discovery": True}
    return {
        "listen": [{"address": f"127.0.0.1:{draw(st.integers(1, 65535))}"}],
        "authenticators": dict.fromkeys(authenticators, issuer),
        "upstreams": {name: {"targets": [f"http://{draw(st.sampled_from('ab'))}:80"]} for name in upstreams},
        "routes": routes,
    }


@settings(deadline=None)
@given(configurations())
def test_a_valid_configuration_survives_the_round_trip(data: dict[str, Any]) -> None:
    loaded = load_text(json.dumps(data, indent=2), {}).config
    assert loaded == Config.model_validate(data)
    assert Config.model_validate(loaded.model_dump(by_alias=True)) == loaded


@settings(deadline=None)
@given(st.text() | st.binary(), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
def test_arbitrary_text_raises_nothing_but_mistakes(junk: str | bytes, start: int, end: int) -> None:
    if isinstance(junk, str):
        junk = GOOD[:start] + junk + GOOD[end:]
    try:
        load_text(junk, {})
    except ConfigMistakes as error:
        found = error.mistakes
        assert found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["sub", "staff", "orders", "/x", "10s", "${X}", "a b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Config.model_fields, "header", "claim", "id", "match", "path", "any", "not", "type"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


SECTIONS = sorted(set(Config.model_fields) - {"trusted_proxies"})  # ipaddress warns about a boolean, which it takes


@settings(deadline=None)
@given(st.sampled_from(SECTIONS), JSON)
def test_arbitrary_data_in_any_section_raises_nothing_but_mistakes(section: str, value: Any) -> None:
    data = load_text(GOOD, {}).document.data | {section: value}
    try:
        load_text(json.dumps(data), {})
    except ConfigMistakes as error:
        found = error.mistakes
        assert found


@pytest.mark.parametrize(
    ("rewrite", "message"),
    [
        ("{strip_prefix: orders}", 'strip_prefix: "orders" must begin with a slash'),
        ("{strip_prefix: /orders/**}", 'strip_prefix: "/orders/**" must be a plain path, without {…} and **'),
        ("{replace_prefix: [/orders, '/a/../b']}", "replace_prefix[1]: "),
        ("{replace_prefix: [/orders, '/v 2']}", "replace_prefix[1]: "),
    ],
)
def test_a_rewritten_path_cannot_become_ambiguous(rewrite: str, message: str) -> None:
    [mistake] = mistakes(GOOD.replace("    upstream: orders\n", f"    upstream: orders\n    rewrite: {rewrite}\n", 1))
    assert f"rewrite.{message}" in mistake


def test_an_origin_is_written_as_browsers_send_it() -> None:
    [mistake] = mistakes("cors: {origins: ['https://App.example/']}\n" + GOOD)
    assert mistake.endswith("is not an origin; write https://app.example.com, in lower case and without a path")


def test_a_route_with_other_mistakes_still_has_its_names_checked() -> None:
    assert about(
        "routes",
        """\
        routes:
          - {id: a, match: {path: /a}, upstream: ordres, authenticators: [stuff, 1], access: everyone}
        """,
    ) == [
        'routes[0].access: must be "protected", "optional" or "public", not "everyone"',
        'routes[0].authenticators[0]: unknown authenticator "stuff"; did you mean "staff"?',
        "routes[0].authenticators[1]: must be text; put it in quotes",
        'routes[0].upstream: unknown upstream "ordres"; did you mean "orders"?',
    ]


def test_a_file_that_has_no_end_is_a_mistake() -> None:
    with pytest.raises(ConfigMistakes, match="larger than 16777216 bytes"):
        load_config(Path("/dev/zero"), {})
