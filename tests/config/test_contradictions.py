"""Settings that are valid each, and wrong together."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.config.contradictions import contradictions
from gateway.config.draft import valid_part, whole_draft
from gateway.config.mistakes import shown_path
from gateway.config.schema import Config

ORDERS = {"id": "orders", "match": {"path": "/orders/**"}, "upstream": "orders"}
SUBJECT = {"header": "X-User", "claim": "sub"}
IDENTITY_TOKEN = {"identity_token": "X-Identity", "audience": "orders"}
IDENTITY = {"issuer": "https://gateway.example", "key_file": "key.pem"}


def issuer(name: str) -> dict[str, Any]:
    return {"type": "jwt", "issuer": f"https://{name}.example", "audiences": ["api"], "discovery": True}


def config(**sections: Any) -> dict[str, Any]:
    return {
        "listen": [{"address": "127.0.0.1:8080"}],
        "authenticators": {"staff": issuer("staff")},
        "upstreams": {"orders": {"targets": ["http://127.0.0.1:9000"]}},
        "routes": [ORDERS],
    } | sections


def found(**sections: Any) -> dict[str, str]:
    draft = whole_draft(Config.model_validate(config(**sections)))
    return {shown_path(path): message for path, message in contradictions(draft)}


def in_route(**settings: Any) -> list[Mapping[str, Any]]:
    return [ORDERS | settings]


def upstream(**settings: Any) -> dict[str, Any]:
    return {"orders": {"targets": ["http://127.0.0.1:9000"]} | settings}


TWO_ISSUERS = {"staff": issuer("staff"), "partners": issuer("partners")}
BOTH = {"authenticators": ["staff", "partners"]}


def test_a_consistent_configuration_has_no_contradictions() -> None:
    assert found() == {}


def test_an_unknown_upstream_is_named_with_a_suggestion() -> None:
    assert found(routes=in_route(upstream="ordres")) == {
        "routes[0].upstream": 'unknown upstream "ordres"; did you mean "orders"?'
    }


def test_an_unknown_authenticator_is_named_with_a_suggestion() -> None:
    assert found(routes=in_route(authenticators=["staff", "stuff", "x"])) == {
        "routes[0].authenticators[1]": 'unknown authenticator "stuff"; did you mean "staff"?',
        "routes[0].authenticators[2]": 'unknown authenticator "x"',
    }


def test_a_route_says_who_may_vouch_when_there_are_several() -> None:
    assert found(authenticators=TWO_ISSUERS) == {
        "routes[0]": "several authenticators are configured; write authenticators: with one or more of partners, staff"
    }
    assert found(authenticators=TWO_ISSUERS, routes=in_route(authenticators=["staff"])) == {}


def test_a_route_that_nobody_can_vouch_for_is_a_contradiction() -> None:
    expected = "nobody can vouch for a caller: add one under authenticators, or write access: public"
    assert found(authenticators={}) == {"routes[0]": expected}
    assert found(authenticators={}, routes=in_route(access="optional")) == {"routes[0]": expected}
    assert found(authenticators={}, routes=in_route(access="public")) == {}


def test_route_ids_are_unique() -> None:
    assert found(routes=[ORDERS, ORDERS | {"id": "b"}, ORDERS]) == {
        "routes[2].id": '"orders" is already the id of routes[0]'
    }


@pytest.mark.parametrize("subject", [SUBJECT, {"header": "X-User", "template": "user {sub}"}])
def test_subjects_of_several_issuers_could_collide(subject: dict[str, str]) -> None:
    routes = in_route(**BOTH, inject=[subject])
    [(path, message)] = found(authenticators=TWO_ISSUERS, routes=routes).items()
    assert path == "routes[0].inject"
    assert message == (
        "injects sub without iss, but several issuers are accepted, whose subjects could collide; "
        "inject iss too, use an identity_token, or write subject_without_issuer: true"
    )


def test_the_default_inject_list_can_make_subjects_collide_too() -> None:
    assert list(found(authenticators=TWO_ISSUERS, inject=[SUBJECT], routes=in_route(**BOTH))) == ["routes[0]"]


@pytest.mark.parametrize(
    "settings",
    [
        {"inject": [SUBJECT, {"header": "X-Issuer", "claim": "iss"}]},
        {"inject": [{"header": "X-User", "template": "{iss}#{sub}"}]},
        {"inject": [SUBJECT], "subject_without_issuer": True},
        {"inject": [SUBJECT, IDENTITY_TOKEN]},
        {"inject": [{"header": "X-Mail", "claim": "mail"}, {"header": "X-Via", "value": "gateway"}]},
        {"inject": [SUBJECT], "authenticators": ["staff"]},
        {"inject": [SUBJECT], "authenticators": ["staff", "same"]},
        {"inject": [], "authenticators": ["staff", "partners"]},
        {"inject": None, "access": "public", "authenticators": None},
    ],
)
def test_subjects_that_cannot_collide_are_fine(settings: dict[str, Any]) -> None:
    authenticators = TWO_ISSUERS | {"same": issuer("staff")}
    routes = in_route(**(BOTH | settings))
    assert found(authenticators=authenticators, identity=IDENTITY, inject=[SUBJECT], routes=routes) == {}


def test_subject_without_issuer_is_fine_where_it_is_not_needed() -> None:
    assert found(routes=in_route(subject_without_issuer=True)) == {}


def test_an_identity_token_needs_a_key() -> None:
    message = "an identity_token is signed with the gateway's own key; configure identity"
    assert found(inject=[SUBJECT, IDENTITY_TOKEN]) == {"inject[1]": message}
    assert found(routes=in_route(inject=[IDENTITY_TOKEN])) == {"routes[0].inject[0]": message}
    assert found(identity=IDENTITY, inject=[IDENTITY_TOKEN]) == {}


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "fd00::/15"])
def test_spoofing_by_trusting_nearly_everybody_must_be_accepted_by_name(network: str) -> None:
    assert found(trusted_proxies=["unix", network]) == {
        "trusted_proxies[1]": f"{network} trusts nearly everybody; name your proxies, "
        "or accept it: insecure: [trust_every_proxy]"
    }
    assert found(trusted_proxies=["unix", network], insecure=["trust_every_proxy"]) == {}


def test_a_network_of_proxies_is_fine() -> None:
    assert found(trusted_proxies=["10.0.0.0/8", "fd00::/16", "127.0.0.1", "unix"]) == {}


def test_an_unverified_upstream_must_be_accepted_by_name() -> None:
    upstreams = upstream(targets=["https://orders"], tls={"verify": False})
    assert found(upstreams=upstreams) == {
        "upstreams.orders.tls.verify": "anybody could pose as the upstream; verify it, "
        "or accept it: insecure: [unverified_upstream_tls]"
    }
    assert found(upstreams=upstreams, insecure=["unverified_upstream_tls"]) == {}


def test_tls_settings_need_an_https_target() -> None:
    tls = {"server_name": "orders"}
    assert found(upstreams=upstream(tls=tls)) == {
        "upstreams.orders.tls": "no target begins with https://, so tls has no effect"
    }
    assert found(upstreams=upstream(targets=["http://a", "https://b"], tls=tls)) == {}


def test_a_target_is_named_once() -> None:
    assert found(upstreams=upstream(targets=["http://a", "https://a", "http://a:80"])) == {
        "upstreams.orders.targets[2]": "http://a:80 is already targets[0]"
    }


def test_the_last_but_one_target_can_be_taken_out_whatever_is_said_of_ejection() -> None:
    assert found(upstreams=upstream(targets=["http://a"], ejection={"failures": 3})) == {}


@pytest.mark.parametrize("header", ["Host", "content-length", "Transfer-Encoding", "Connection", "Cookie", "Upgrade"])
def test_smuggling_by_an_injected_header_is_refused(header: str) -> None:
    message = f"{header} cannot be injected; choose another header"
    assert found(inject=[SUBJECT, {"header": header, "value": "x"}]) == {"inject[1]": message}
    identity_token = {"identity_token": header, "audience": "a"}
    assert found(identity=IDENTITY, routes=in_route(inject=[identity_token])) == {"routes[0].inject[0]": message}
    assert list(found(headers={"request_id": header})) == ["headers.request_id"]


def test_only_an_identity_token_may_be_the_authorization() -> None:
    assert found(inject=[{"header": "Authorization", "claim": "sub"}]) == {
        "inject[0]": "Authorization cannot be injected; choose another header"
    }
    assert found(identity=IDENTITY, inject=[{"identity_token": "authorization", "audience": "a"}]) == {}


def test_the_clients_token_and_an_identity_token_cannot_share_the_authorization() -> None:
    inject = [{"identity_token": "Authorization", "audience": "a"}]
    assert found(identity=IDENTITY, routes=in_route(inject=inject, forward_token=True)) == {
        "routes[0].forward_token": "Authorization already carries the identity_token; inject that in another header"
    }
    assert found(identity=IDENTITY, routes=in_route(inject=[IDENTITY_TOKEN], forward_token=True)) == {}


def test_a_header_is_injected_once() -> None:
    inject = [SUBJECT, {"header": "x-user", "claim": "iss"}, {"header": "X-Request-Id", "claim": "jti"}]
    assert found(inject=inject) == {
        "inject[1]": "x-user is already injected by inject[0]",
        "inject[2]": "X-Request-Id is already headers.request_id",
    }
    assert found(headers={"principal_type": "X-Request-ID"}) == {
        "headers.request_id": "X-Request-ID is already headers.principal_type"
    }


@pytest.mark.parametrize(
    ("path", "rewrite", "setting"),
    [
        ("/orders/**", {"strip_prefix": "/order"}, "strip_prefix"),
        ("/orders/{id}", {"strip_prefix": "/orders/7"}, "strip_prefix"),
        ("/{any}", {"replace_prefix": ["/orders", "/x"]}, "replace_prefix"),
    ],
)
def test_a_rewrite_that_can_never_apply_is_a_contradiction(path: str, rewrite: dict[str, Any], setting: str) -> None:
    assert list(found(routes=in_route(match={"path": path}, rewrite=rewrite))) == [f"routes[0].rewrite.{setting}"]


@pytest.mark.parametrize("prefix", ["/orders", "/orders/", "/orders/old", "/"])
def test_a_rewrite_of_the_literal_beginning_is_fine(prefix: str) -> None:
    match = {"path": "/orders/old/{id}/**"}
    assert found(routes=in_route(match=match, rewrite={"strip_prefix": prefix})) == {}
    assert found(routes=in_route(match=match, rewrite={"replace_prefix": [prefix, "/v2"]})) == {}


def test_addresses_are_used_once() -> None:
    listen = [{"address": "127.0.0.1:80"}, {"address": "unix:/a"}, {"address": "127.0.0.1:80"}, {"address": "unix:/a"}]
    assert found(listen=listen, ops={"address": "unix:/a"}) == {
        "listen[2].address": "127.0.0.1:80 is already the address of listen[0]",
        "listen[3].address": "unix:/a is already the address of listen[1]",
        "ops.address": "unix:/a is already the address of listen[1]; metrics need one of their own",
    }


def test_any_free_port_may_be_asked_for_several_times() -> None:
    listen = [{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"}]
    assert found(listen=listen, ops={"address": "127.0.0.1:0"}) == {}


def test_plain_http_on_a_public_address_is_fine() -> None:
    assert found(listen=[{"address": "0.0.0.0:80"}]) == {}


def test_items_keep_their_place_when_broken_ones_are_left_out() -> None:
    data = config(
        listen=[{"address": "bad"}, {"address": "127.0.0.1:80"}, {"address": "127.0.0.1:80"}],
        routes=[{}, ORDERS | {"upstream": "x"}],
        trusted_proxies=["bad", "::/0"],
    )
    draft = valid_part(data, [("listen", 0, "address"), ("routes", 0, "id"), ("trusted_proxies", 0)])
    assert sorted(shown_path(path) for path, _ in contradictions(draft)) == [
        "listen[2].address",
        "routes[1].upstream",
        "trusted_proxies[1]",
    ]


@pytest.mark.parametrize(
    ("broken", "sections"),
    [
        ("insecure", {"trusted_proxies": ["::/0"]}),
        ("insecure", {"upstreams": upstream(targets=["https://a"], tls={"verify": False})}),
        ("identity", {"inject": [IDENTITY_TOKEN]}),
    ],
)
def test_a_broken_section_does_not_cause_contradictions(broken: str, sections: dict[str, Any]) -> None:
    assert list(contradictions(valid_part(config(**sections) | {broken: 1}, [(broken,)]))) == []
    assert list(contradictions(valid_part(config(**sections), []))) != []


def test_an_item_that_cannot_be_seen_makes_its_section_the_default() -> None:
    draft = valid_part(config(routes=[{}], ops={"address": 1}), [])
    assert draft.config.routes == ()
    assert draft.config.ops is None
