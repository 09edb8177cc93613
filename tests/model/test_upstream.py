import pytest

from gateway.model.upstream import Address, TargetAddress, parse_address, parse_target


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("0.0.0.0:8080", Address("0.0.0.0", 8080)),
        ("localhost:0", Address("localhost", 0)),
        (":8080", Address("", 8080)),
        ("[::1]:8080", Address("::1", 8080)),
        ("unix:/run/gateway.sock", Address(path="/run/gateway.sock")),
    ],
)
def test_an_address_is_read_and_written(written: str, address: Address) -> None:
    assert parse_address(written) == address
    assert str(address) == written


@pytest.mark.parametrize(
    "written", ["", "8080", "localhost", "localhost:", "::1:8080", "host:65536", "host:-1", "http://host:80", "a b:80"]
)
def test_what_is_not_an_address_says_how_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match=r"is not an address; write 0\.0\.0\.0:8080, \[::\]:8080 or unix:"):
        parse_address(written)


@pytest.mark.parametrize(
    ("written", "target", "authority"),
    [
        ("http://127.0.0.1:9000", TargetAddress("http", Address("127.0.0.1", 9000)), "127.0.0.1:9000"),
        ("http://127.0.0.1:9000/", TargetAddress("http", Address("127.0.0.1", 9000)), "127.0.0.1:9000"),
        ("HTTPS://Orders.Internal", TargetAddress("https", Address("orders.internal", 443)), "orders.internal"),
        ("http://orders", TargetAddress("http", Address("orders", 80)), "orders"),
        ("https://orders:80", TargetAddress("https", Address("orders", 80)), "orders:80"),
        ("http://[2001:DB8::1]", TargetAddress("http", Address("2001:db8::1", 80)), "[2001:db8::1]"),
        ("https://[::1]:8443", TargetAddress("https", Address("::1", 8443)), "[::1]:8443"),
        ("unix:/run/app.sock", TargetAddress("http", Address(path="/run/app.sock")), "localhost"),
    ],
)
def test_a_target_is_read_and_has_an_authority(written: str, target: TargetAddress, authority: str) -> None:
    assert parse_target(written) == target
    assert target.authority == authority
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "written",
    [
        "",
        "orders:80",
        "ftp://orders",
        "http://",
        "http:///path",
        "http://orders:0",
        "http://orders:65536",
        "http://orders:x",
        "http://a b",
        "http://bücher",
        "http://[::1",
        "http://orders\n",
        "http://ord\ners",
    ],
)
def test_what_is_not_a_target_says_how_to_write_one(written: str) -> None:
    with pytest.raises(ValueError, match="is not a target; write http://127"):
        parse_target(written)


def test_a_password_in_a_target_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="no user name and no password") as caught:
        parse_target("http://user:hunter2@orders")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("written", ["http://orders/api", "http://orders?x", "http://orders:80#x", "https://orders//"])
def test_a_target_has_no_path(written: str) -> None:
    with pytest.raises(ValueError, match="must end after the port; use rewrite"):
        parse_target(written)


@pytest.mark.parametrize("parse", [parse_address, parse_target])
@pytest.mark.parametrize("written", ["unix:", "unix:app.sock", "unix:./app.sock"])
def test_a_socket_has_an_absolute_path(parse: object, written: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match="needs an absolute path"):
        parse(written)


@pytest.mark.parametrize(
    ("written", "is_protected"),
    [
        ("https://orders.internal", True),
        ("unix:/run/app.sock", True),
        ("http://127.0.0.1:9000", True),
        ("http://127.8.7.6", True),
        ("http://[::1]:9000", True),
        ("http://localhost", True),
        ("http://localhost.example", False),
        ("http://10.0.0.1:9000", False),
        ("http://orders", False),
    ],
)
def test_a_link_is_protected_by_tls_or_by_not_leaving_the_host(written: str, is_protected: bool) -> None:
    """C178"""
    assert parse_target(written).is_protected is is_protected
