"""Settings of upstreams that could only fail later."""

import pytest
from pydantic import ValidationError

from gateway.config.upstreams import UpstreamTls


@pytest.mark.parametrize("name", ["orders.example", "bücher.example", "127.0.0.1", "::1"])
def test_a_name_to_expect_is_one_that_tls_takes(name: str) -> None:
    assert UpstreamTls(server_name=name).server_name == name


@pytest.mark.parametrize("name", ["", ".example", "a\0b", 64 * "a" + ".example", "a..example"])
def test_a_name_that_tls_does_not_take_is_a_mistake(name: str) -> None:
    with pytest.raises(ValidationError, match="is not the name of a server"):
        UpstreamTls(server_name=name)
