import pytest

from gateway.model.errors import AmbiguousHeader, AmbiguousHost
from gateway.model.host import Host
from gateway.model.request import Peer
from tests.judging import request


def test_headers_are_found_in_any_case() -> None:
    asked = request("X-NAME: a")
    assert asked.one(b"x-name") == b"a"
    assert asked.all(b"x-name") == [b"a"]


def test_an_absent_header_is_none() -> None:
    assert request().one(b"x-name") is None
    assert request().all(b"x-name") == []
    assert request().listed(b"x-name") == []


def test_a_header_that_may_come_once_may_not_come_twice_even_if_it_says_the_same() -> None:
    """C7."""
    asked = request("X-Name: a", "x-name: a", "X-NAME: a")
    with pytest.raises(AmbiguousHeader, match="x-name was sent 3 times"):
        asked.one(b"x-name")
    assert asked.all(b"x-name") == [b"a", b"a", b"a"]
    assert asked.one(b"host") == b"api.example"
    assert asked.one(b"x-other") is None
    assert asked.all(b"host") == [b"api.example"]


def test_a_header_that_is_forgotten_was_never_there() -> None:
    asked = request("X-Name: a", "x-name: b", "X-Other: c")
    for name in (b"x-name", b"x-other", b"x-absent"):
        asked.forget(name)
        assert (asked.has(name), asked.one(name), asked.all(name)) == (False, None, [])


def test_lists_may_be_spread_over_several_lines() -> None:
    asked = request("Connection: close,, x-a ", "X-Other: b", "connection: \tx-b\t,")
    assert asked.listed(b"connection") == [b"close", b"x-a", b"x-b"]


def test_the_host_is_read_once_in_canonical_form() -> None:
    asked = request(host="API.example:8080")
    assert asked.host == Host("api.example", 8080)
    assert asked.host is asked.host


def test_a_request_may_have_no_host_but_not_two_and_not_a_bad_one() -> None:
    assert request(host=None).host is None
    with pytest.raises(AmbiguousHeader):
        _ = request("Host: api.example").host
    with pytest.raises(AmbiguousHost):
        _ = request(host="a b").host


@pytest.mark.parametrize(
    ("lines", "protocol"),
    [
        (["Connection: Upgrade", "Upgrade: WebSocket"], b"websocket"),
        (["Connection: keep-alive, upgrade", "Upgrade: websocket"], b"websocket"),
        (["Connection: keep-alive", "Connection: upgrade", "Upgrade: a", "Upgrade: b"], b"a,b"),
        (["Upgrade: websocket"], None),
        (["Connection: close", "Upgrade: websocket"], None),
        (["Connection: Upgrade"], None),
        (["Connection: Upgrade", "Upgrade: ,"], None),
    ],
)
def test_an_upgrade_needs_both_headers(lines: list[str], protocol: bytes | None) -> None:
    assert request(*lines).upgrade == protocol


def test_cookies_keep_their_order_their_values_and_their_repetitions() -> None:
    asked = request('Cookie: at=one; b="2" ;nameless; =x', "Cookie: at=t=w=o", "Cookie: ")
    assert asked.cookies == [(b"at", b"one"), (b"b", b'"2"'), (b"", b"x"), (b"at", b"t=w=o")]


def test_a_request_without_cookies_has_none() -> None:
    assert request().cookies == []


def test_a_peer_is_not_trusted_unless_somebody_says_so() -> None:
    assert not Peer("192.0.2.7").is_trusted_proxy
