"""Host names are looked up without keeping anybody waiting for another name. The system's resolver is replaced."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.proxy import names
from gateway.proxy.names import Names


class Resolver:
    """What the system knows. A name that is held does not answer until it is let go."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.held: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        self.held[name] = threading.Event()

    def getaddrinfo(self, host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if (held := self.held.get(host)) is not None:
            held.wait(30)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.known[host]]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    monkeypatch.setattr(names, "PATIENCE", 0.05)
    yield resolver
    for held in resolver.held.values():
        held.set()


async def looked_up(known: Names, host: str) -> list[str]:
    async with asyncio.timeout(10):
        return await known.addresses(host)


async def test_a_name_is_asked_for_once_while_its_answer_is_fresh(resolver: Resolver) -> None:
    resolver.known["a"] = ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    known = Names(asyncio.get_running_loop())
    answers = await asyncio.gather(*(looked_up(known, "a") for _ in range(9)))
    answers.append(await looked_up(known, "a"))
    assert answers == [["10.0.0.1", "10.0.0.2"]] * 10
    assert resolver.asked == ["a"]


@pytest.mark.parametrize("address", ["10.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(resolver: Resolver, address: str) -> None:
    assert await Names(asyncio.get_running_loop()).addresses(address) == [address]
    assert resolver.asked == []


async def test_a_name_that_hangs_keeps_no_other_waiting(resolver: Resolver) -> None:
    """Sixty names that hang, more than any shared set of threads would have."""
    dead = [f"dead{number}" for number in range(60)]
    for name in dead:
        resolver.hold(name)
    resolver.known["a"] = ["10.0.0.1"]
    known = Names(asyncio.get_running_loop())
    hanging = [asyncio.ensure_future(known.addresses(name)) for name in dead * 3]
    await asyncio.sleep(0)
    assert await looked_up(known, "a") == ["10.0.0.1"]
    assert not any(each.done() for each in hanging)
    assert sorted(resolver.asked) == sorted([*dead, "a"])  # one thread for each name, however many ask
    for each in hanging:
        each.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)


async def test_an_unknown_name_is_refused_and_asked_for_again(resolver: Resolver) -> None:
    known = Names(asyncio.get_running_loop())
    with pytest.raises(socket.gaierror):
        await looked_up(known, "a")
    resolver.known["a"] = ["10.0.0.1"]
    assert await looked_up(known, "a") == ["10.0.0.1"]


async def test_without_another_thread_a_name_is_refused(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver.known["a"] = ["10.0.0.1"]
    known = Names(asyncio.get_running_loop())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        with pytest.raises(OSError, match="thread"):
            await looked_up(known, "a")
    assert await looked_up(known, "a") == ["10.0.0.1"]


def _no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(OSError, match="label"):
        await looked_up(Names(asyncio.get_running_loop()), "a" * 70 + ".example")


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_found_before_serves_while_the_resolver_is_away(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr(names, "FRESH", 0)
    resolver.known["a"] = ["10.0.0.1"]
    known = Names(asyncio.get_running_loop())
    assert await looked_up(known, "a") == ["10.0.0.1"]
    if fails:
        resolver.known.clear()
    else:
        resolver.hold("a")
        resolver.known["a"] = ["10.0.0.2"]
    assert [await looked_up(known, "a") for _ in range(3)] == [["10.0.0.1"]] * 3
    if not fails:
        assert resolver.asked == ["a", "a"]
        resolver.held["a"].set()
        while await looked_up(known, "a") != ["10.0.0.2"]:
            await asyncio.sleep(0.01)


async def test_an_address_that_could_not_be_reached_comes_last(resolver: Resolver) -> None:
    resolver.known["a"] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    known = Names(asyncio.get_running_loop())
    known.failed("10.0.0.1")
    assert await looked_up(known, "a") == ["10.0.0.2", "10.0.0.3", "10.0.0.1"]
