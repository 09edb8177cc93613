import re
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.forwarding import Forwarding
from gateway.model.errors import AmbiguousHost
from gateway.model.request import Peer
from tests.judging import CLIENT, PROXY, request

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
FORWARDING = Forwarding(TRUSTED, "X-Request-ID")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def told(*lines: str, peer: Peer = PROXY, secure: bool = False, host: str | None = "api.example") -> dict[str, str]:
    """Return what the upstream is told; each name at most once."""
    block = FORWARDING.lines(request(*lines, peer=peer, secure=secure, host=host), "r-1")
    assert re.fullmatch(rb"(?:[A-Za-z-]+: [\t\x20-\x7e]+\r\n)*", block)
    pairs = [line.partition(": ")[::2] for line in block.decode().split("\r\n")[:-1]]
    assert len({name.lower() for name, _ in pairs}) == len(pairs)
    return dict(pairs)


FROM_CLIENT = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "api.example",
    "X-Request-ID": "r-1",
}
FROM_PROXY = {**FROM_CLIENT, "X-Forwarded-For": "10.0.0.1"}


# --- whom to believe


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("192.0.2.7", False),
        ("::1", False),
        ("::ffff:192.0.2.7", False),
        ("unix", False),
        ("not an address", False),
        ("", False),
    ],
)
def test_a_peer_in_a_trusted_network_is_trusted(address: str, trusted: bool) -> None:
    assert FORWARDING.peer(address).is_trusted_proxy is trusted


def test_nobody_is_trusted_by_default_and_a_unix_socket_only_by_name() -> None:
    nobody = Forwarding((), "X-Request-ID")
    assert not nobody.peer("127.0.0.1").is_trusted_proxy
    assert not nobody.peer("unix").is_trusted_proxy
    assert Forwarding(("unix",), "X-Request-ID").peer("unix").is_trusted_proxy
    assert not Forwarding(("unix",), "X-Request-ID").peer("10.0.0.1").is_trusted_proxy


# --- a peer that is not trusted

CLAIMS = [
    "X-Forwarded-For: 10.0.0.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /admin",
    "X-Forwarded-Server: evil",
    "X-Real-IP: 10.0.0.9",
    "Forwarded: for=10.0.0.9",
    "X-Request-ID: evil",
    f"traceparent: {TRACE}",
    "tracestate: a=b",
]


@given(st.lists(st.sampled_from(CLAIMS)))
def test_forwarding_headers_of_an_untrusted_peer_change_nothing(lines: list[str]) -> None:
    """CVE-2026-33495, CVE-2026-40575, CVE-2026-57210, CVE-2026-35051, CVE-2026-54764."""
    asked = request(*lines, peer=CLIENT)
    assert told(*lines, peer=CLIENT) == FROM_CLIENT
    assert FORWARDING.request_id(asked, "r-1") == "r-1"
    assert FORWARDING.client_address(asked) == "192.0.2.7"


def test_an_upstream_is_told_about_the_connection() -> None:
    assert told(peer=Peer("2001:db8::7"), secure=True, host="API.example:8443") == {
        "X-Forwarded-For": "2001:db8::7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "api.example:8443",
        "X-Request-ID": "r-1",
    }
    assert told(peer=Peer("unix"), host=None) == {"X-Forwarded-Proto": "http", "X-Request-ID": "r-1"}


def test_what_is_remembered_of_a_connection_is_bounded_and_never_anothers() -> None:
    forwarding = Forwarding((), "X-Request-ID")
    for number in range(5000):
        asked = request(host=f"h{number}.example", peer=Peer(f"192.0.2.{number % 250}"), secure=number % 2 == 0)
        expected = (
            f"X-Forwarded-For: 192.0.2.{number % 250}\r\nX-Forwarded-Proto: {'http' if number % 2 else 'https'}\r\n"
            f"X-Forwarded-Host: h{number}.example\r\nX-Request-ID: r-{number}\r\n"
        )
        for _ in range(2):
            assert forwarding.lines(asked, f"r-{number}") == expected.encode()


# --- a trusted proxy


def test_what_a_trusted_proxy_says_is_kept_and_the_proxy_is_appended() -> None:
    assert told(
        "X-Forwarded-For: 198.51.100.1, 10.0.0.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: Shop.example:8443",
        "X-Forwarded-Port: 8443",
        "X-Forwarded-Prefix: /shop",
        "X-Forwarded-Server: edge-1",
        "X-Real-IP: 198.51.100.1",
        'Forwarded: for=198.51.100.1;proto=https, for="[2001:db8::1]:1"',
        f"traceparent: {TRACE}",
        "tracestate: a=b",
        "tracestate: c=d",
    ) == {
        "X-Forwarded-For": "198.51.100.1, 10.0.0.9, 10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "shop.example:8443",
        "X-Request-ID": "r-1",
        "Forwarded": (
            'for=198.51.100.1;proto=https, for="[2001:db8::1]:1", for=10.0.0.1;host="api.example";proto=http'
        ),
        "traceparent": TRACE,
        "tracestate": "a=b,c=d",
        "X-Forwarded-Port": "8443",
        "X-Forwarded-Prefix": "/shop",
        "X-Forwarded-Server": "edge-1",
        "X-Real-Ip": "198.51.100.1",
    }


@pytest.mark.parametrize("name", ["X-Client-IP", "Client-IP", "True-Client-IP", "X-Cluster-Client-IP"])
def test_other_headers_with_an_address_are_a_trusted_proxys_to_set(name: str) -> None:
    assert told(f"{name}: 198.51.100.1")[name.title()] == "198.51.100.1"
    assert told(f"{name}: 198.51.100.1", f"{name}: 198.51.100.2") == FROM_PROXY
    assert told(f"{name}: 198.51.100.1", peer=CLIENT) == FROM_CLIENT


def test_a_trusted_proxy_that_says_nothing_is_the_client() -> None:
    assert told() == FROM_PROXY


def test_hops_may_be_spread_over_several_lines() -> None:
    assert (
        told("X-Forwarded-For: 1.1.1.1", "x-forwarded-for: 2.2.2.2")["X-Forwarded-For"] == "1.1.1.1, 2.2.2.2, 10.0.0.1"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: <script>"],
        ["X-Forwarded-For: "],
        ['X-Forwarded-For: "1.1.1.1'],
        ["X-Forwarded-For: " + "1" * 3000],
        ["X-Forwarded-Proto: ftp"],
        ["X-Forwarded-Proto: https, http"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Proto: https"],
        ["X-Forwarded-Host: a b"],
        ["X-Forwarded-Host: a, b"],
        ["X-Forwarded-Host: a", "X-Forwarded-Host: b"],
        ["X-Forwarded-Port: "],
        ["X-Forwarded-Port: 1", "X-Forwarded-Port: 2"],
        ["X-Forwarded-Prefix: /a b"],
        ["X-Real-IP: \xe9"],
        ["Forwarded: "],
        ["Forwarded: for=\xe9"],
        ["traceparent: x"],
        [f"traceparent: {TRACE.replace('00-', 'ff-', 1)}"],
        ["traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01"],
        ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
        [f"traceparent: {TRACE}", f"traceparent: {TRACE}"],
        ["tracestate: a=b"],
    ],
)
def test_what_is_ill_formed_is_replaced_as_if_it_had_not_come(lines: list[str]) -> None:
    assert told(*lines) == FROM_PROXY


def test_a_tracestate_that_is_ill_formed_leaves_the_trace_alone() -> None:
    assert told(f"traceparent: {TRACE}", "tracestate: \xe9") == {**FROM_PROXY, "traceparent": TRACE}


@pytest.mark.parametrize(
    "value",
    ['for="', 'for="1.1.1.1', 'for="\\"', "1.1.1.1", "for=", "=x", "for=1.1.1.1,", ';for="x"', "for=a b", "x" * 3000],
)
def test_an_open_quote_in_forwarded_cannot_swallow_what_is_appended(value: str) -> None:
    """GHSA-4jgr-pg2m-m988: text of the client ended up inside `Forwarded`."""
    assert told(f"Forwarded: {value}") == FROM_PROXY


@pytest.mark.parametrize("value", ['for="a\\"b, for=evil"', "for=1.2.3.4:80; proto=https ,for=[::1]", "For=_x;By=_y"])
def test_a_well_formed_forwarded_is_kept(value: str) -> None:
    assert told(f"Forwarded: {value}")["Forwarded"] == f'{value}, for=10.0.0.1;host="api.example";proto=http'


@pytest.mark.parametrize("host", ['api.example";for=evil', "api.example;for=evil", "api.example, for=evil", "a\tb"])
def test_a_host_is_never_more_than_a_host_in_forwarded(host: str) -> None:
    """GHSA-4jgr-pg2m-m988. Such a request is refused before, anyway."""
    with pytest.raises(AmbiguousHost):
        told("Forwarded: for=1.1.1.1", host=host)


def test_a_request_without_host_has_none_to_tell() -> None:
    appended = told("Forwarded: for=1.1.1.1", host=None)
    assert appended["Forwarded"] == 'for=1.1.1.1, for=10.0.0.1;host="";proto=http'
    assert "X-Forwarded-Host" not in appended


@pytest.mark.parametrize(
    ("peer", "node"),
    [
        (Peer("fd00::1", is_trusted_proxy=True), '"[fd00::1]"'),
        (Peer("unix", is_trusted_proxy=True), "unknown"),
        (PROXY, "10.0.0.1"),
    ],
)
def test_the_proxy_is_named_as_forwarded_wants_it(peer: Peer, node: str) -> None:
    """RFC 7239 §6."""
    block = told("Forwarded: for=1.1.1.1", peer=peer)
    assert block["Forwarded"] == f'for=1.1.1.1, for={node};host="api.example";proto=http'


@pytest.mark.parametrize("lines", [["a, "], ["a", ""], [", a ,", " "]])
def test_no_empty_hop_is_left_at_an_edge(lines: list[str]) -> None:
    headers = told(*(f"X-Forwarded-For: {line}" for line in lines), peer=Peer("unix", is_trusted_proxy=True))
    assert headers["X-Forwarded-For"] == "a"


def test_a_proxy_behind_a_unix_socket_has_no_address_to_append() -> None:
    trusted = Peer("unix", is_trusted_proxy=True)
    assert told("X-Forwarded-For: 1.1.1.1", peer=trusted)["X-Forwarded-For"] == "1.1.1.1"
    assert "X-Forwarded-For" not in told(peer=trusted)


LINE = st.tuples(
    st.sampled_from([claim.partition(":")[0] for claim in CLAIMS] + ["X_Forwarded_For"]),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=20)
    | st.sampled_from(['for="', "a, b", "https", "1.1.1.1", '"', "\\", "\t"]),
).map(": ".join)


@given(st.lists(LINE, max_size=5), st.sampled_from([CLIENT, PROXY]))
def test_whatever_comes_the_lines_are_well_formed(lines: list[str], peer: Peer) -> None:
    assert told(*lines, peer=peer)["X-Forwarded-Proto"] in ("http", "https")


# --- the request id


@pytest.mark.parametrize("sent", ["0af7-65", "Root=1-67891233-abcdef", "a" * 128])
def test_a_trusted_proxy_may_name_the_request(sent: str) -> None:
    assert FORWARDING.request_id(request(f"x-request-id: {sent}", peer=PROXY), "fresh") == sent


@pytest.mark.parametrize(
    "lines", [[], ["X-Request-ID: "], ["X-Request-ID: a b"], ['X-Request-ID: "'], ["X-Request-ID: " + "a" * 129]]
)
def test_an_id_that_could_break_a_log_is_replaced(lines: list[str]) -> None:
    assert FORWARDING.request_id(request(*lines, peer=PROXY), "fresh") == "fresh"
    assert FORWARDING.request_id(request("X-Request-ID: a", "X-Request-ID: a", peer=PROXY), "fresh") == "fresh"


def test_the_request_id_may_have_another_name() -> None:
    forwarding = Forwarding(TRUSTED, "X-Correlation")
    asked = request("x-correlation: a", "X-Request-ID: b", peer=PROXY)
    assert forwarding.request_id(asked, "fresh") == "a"
    assert b"X-Correlation: a\r\n" in forwarding.lines(asked, "a")


# --- the client's address


@pytest.mark.parametrize(
    ("lines", "address"),
    [
        ([], "10.0.0.1"),
        (["X-Forwarded-For: 198.51.100.1"], "198.51.100.1"),
        (["X-Forwarded-For: 6.6.6.6, 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        (["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 198.51.100.1, 10.0.0.9"], "198.51.100.1"),
        (["X-Forwarded-For: 2001:db8::1, ::ffff:10.0.0.9"], "2001:db8::1"),
        (["X-Forwarded-For: 6.6.6.6:1, 198.51.100.1:65000, 10.0.0.9:80"], "198.51.100.1"),
        (["X-Forwarded-For: [2001:db8::1]:65000"], "2001:db8::1"),
        (["X-Forwarded-For: [2001:db8::1]"], "2001:db8::1"),
        (["X-Forwarded-For: 198.51.100.1:"], "10.0.0.1"),
        (["X-Forwarded-For: 10.0.0.8, 10.0.0.9"], "10.0.0.1"),
        (["X-Forwarded-For: 198.51.100.1, unknown"], "10.0.0.1"),
        (["X-Forwarded-For: 198.51.100.1, unix"], "10.0.0.1"),
        (["X-Real-IP: 6.6.6.6"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_hop_that_no_trusted_proxy_is(lines: list[str], address: str) -> None:
    """CVE-2026-57210: the first hop is whatever the client wrote."""
    assert FORWARDING.client_address(request(*lines, peer=PROXY)) == address


def test_an_endless_row_of_trusted_hops_is_not_followed() -> None:
    hops = ", ".join(["203.0.113.9", *["10.0.0.9"] * 32])
    assert FORWARDING.client_address(request(f"X-Forwarded-For: {hops}", peer=PROXY)) == PROXY.address


def test_made_up_hosts_do_not_fill_the_memory() -> None:
    forwarding = Forwarding((), "X-Request-ID")
    for number in range(10_000):
        assert b"x%d.example" % number in forwarding.lines(request(peer=CLIENT, host=f"x{number}.example"), "r-1")
    assert len(forwarding._own_lines) <= 4096
