import pytest

from gateway.endpoints.labels import address_label, device_label


@pytest.mark.parametrize(
    ("address", "label"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("unix", ""),
        ("unknown", ""),
        ("", ""),
    ],
)
def test_an_address_is_kept_without_its_last_part(address: str, label: str) -> None:
    assert address_label(address) == label


def test_a_device_is_one_short_printable_line() -> None:
    assert device_label("Alice's\n phone\x00\u202e", "Firefox") == "Alice's phone"
    assert device_label(None, "Firefox") == "Firefox"
    assert device_label(None, None) == ""
    assert len(device_label("x" * 1000, None)) == 128
