"""A queue that is to be emptied for good."""

import socket
import sys

import pytest

from gateway.proxy.handshakes import refuse_handshakes


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels are not asked")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_connected_stays_and_nobody_else_comes_in(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        address = server.getsockname()[:2]
        with socket.create_connection(address, 10) as client:
            refuse_handshakes(server)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, 0.3)
            client.sendall(b"hello")
            taken, _ = server.accept()
            with taken:
                assert taken.recv(5) == b"hello"
                taken.sendall(b"there")
                assert client.recv(5) == b"there"


def test_a_unix_socket_is_left_alone() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        refuse_handshakes(server)
