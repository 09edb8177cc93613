"""The sockets that workers inherit."""

import os
import socket
from contextlib import closing

import pytest

from gateway.model.upstream import parse_address
from gateway.workers.activation import StrangeSocket
from gateway.workers.bequest import socket_arguments
from gateway.workers.inheritance import inherited, shares

OWN, SHARED = "127.0.0.1:1", "unix:/run/shared"


@pytest.fixture
def descriptors() -> list[int]:
    """Three listening sockets."""
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    return [sock.detach() for sock in found]  # whoever inherits them closes them


def test_a_worker_has_its_own_sockets_the_shared_ones_and_those_of_the_others(descriptors: list[int]) -> None:
    first, second, shared = descriptors
    arguments = socket_arguments([{OWN: first, SHARED: shared}, {OWN: second, SHARED: shared}])
    sockets = inherited(arguments[1::2])
    own, common = parse_address(OWN), parse_address(SHARED)
    found = shares(sockets, [own, common], 2)
    try:
        assert {address: sock.fileno() for address, sock in found.own.items()} == {own: second, common: shared}
        assert {number: {own: each[own].fileno()} for number, each in found.others.items()} == {1: {own: first}}
        assert sorted(sock.fileno() for sock in found.all()) == sorted(descriptors)
    finally:
        for sock in found.all():
            sock.close()


def test_a_copy_of_an_inherited_socket_does_not_wait(descriptors: list[int]) -> None:
    sockets = inherited([f"{OWN}={','.join(map(str, descriptors))}"])[OWN]
    try:
        for sock in sockets:
            with closing(sock.dup()) as copy:
                assert not os.get_blocking(copy.fileno())
            assert not os.get_blocking(sock.fileno())
            assert not os.get_inheritable(sock.fileno())
    finally:
        for sock in sockets:
            sock.close()


def test_addresses_that_have_changed_are_refused(descriptors: list[int]) -> None:
    sockets = inherited([f"{OWN}={','.join(map(str, descriptors))}"])
    try:
        with pytest.raises(StrangeSocket, match=r"changed by a restart of all: .*:1, .*:2"):
            shares(sockets, [parse_address("127.0.0.1:2")], 1)
    finally:
        for sock in sockets[OWN]:
            sock.close()
