"""Who gets an address that several want."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

import pytest

from gateway.model.upstream import Address, parse_address
from gateway.proxy.listener import bound_socket, listening_socket
from tests.ports import free_port

STARTS = 4


def test_of_several_that_start_at_once_one_gets_the_port() -> None:
    for _ in range(50):
        address = Address(host="127.0.0.1", port=free_port())
        begin = Barrier(STARTS)

        def start(_: int, address: Address = address, begin: Barrier = begin) -> socket.socket | None:
            begin.wait()
            try:
                return listening_socket(address, shares_port=True)
            except OSError:
                return None

        with ThreadPoolExecutor(STARTS) as threads, ExitStack() as stack:
            found = [each for each in threads.map(start, range(STARTS)) if each is not None]
            for each in found:
                stack.enter_context(each)
            assert len(found) == 1


def test_a_unix_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    address = parse_address(f"unix:{tmp_path}/s")
    listening_socket(address).close()
    listening_socket(address).close()


def test_a_unix_socket_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"{tmp_path}/log")
        with pytest.raises(OSError, match=r"cannot listen on unix:.*log: Address already in use"):
            bound_socket(parse_address(f"unix:{tmp_path}/log"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(f"{tmp_path}/log")


def test_a_unix_socket_with_a_full_queue_is_served(tmp_path: Path) -> None:
    address = parse_address(f"unix:{tmp_path}/s")
    with ExitStack() as stack:
        busy = stack.enter_context(bound_socket(address))
        busy.listen(0)
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(address.path)
        with pytest.raises(OSError, match="Address already in use"):
            bound_socket(address)


def test_an_address_that_cannot_be_had_is_named() -> None:
    with pytest.raises(OSError, match=r"cannot listen on name\.invalid:1: "):
        bound_socket(parse_address("name.invalid:1"))
    with pytest.raises(OSError, match=r"cannot listen on unix:/x+: AF_UNIX path too long"):
        bound_socket(parse_address("unix:/" + "x" * 200))
