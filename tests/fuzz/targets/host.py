"""A Host has one canonical form, and is what others take for the same host."""

import re
from ipaddress import IPv6Address

from gateway.engine.paths import host_pattern
from gateway.model.errors import AmbiguousHost
from gateway.model.host import read_host

_CANONICAL = re.compile(rb"(?:\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[1-9][0-9]{0,4})?")


def check(data: bytes) -> None:
    try:
        host = read_host(data)
    except AmbiguousHost:
        _check_refused_pattern(data)
        return
    assert _CANONICAL.fullmatch(host.text), host.text
    assert read_host(host.text) == host
    name, colon, port = data.decode("ascii").rpartition(":")
    if not colon or name.startswith("[") > name.endswith("]"):
        name, port = data.decode("ascii"), ""
    assert host.port == (int(port) if port else None)
    name = name.removesuffix(".").lower()
    if name.startswith("["):
        assert IPv6Address(host.name[1:-1]) == IPv6Address(name[1:-1])
    else:
        assert host.name == name
    if host.port is None:
        assert host_pattern(data.decode("ascii")) == host.name


def _check_refused_pattern(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        pattern = host_pattern(text)
    except ValueError:
        return
    assert text.startswith("*."), text
    assert read_host(pattern.removeprefix("*.").encode()).name == pattern.removeprefix("*.")
