"""Where the data of a shard is: on one server, on the primary of a Sentinel group, or on a node of a Cluster.

A place remembers what it found. `doubt` makes it look again before the next call: after an error, a deadline, or the
answer of a server that may not write.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol, TypeVar

from redis.crc import key_slot
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004

from gateway.state.base import BadStore
from gateway.state.redis_line import Line
from gateway.state.redis_node import Address, Dialling, Node, packed

SENTINEL_GRACE = 0.1
"""Seconds for which the answers of all Sentinels are awaited: then those that came count."""

USE_CLUSTER = "write redis+cluster:// in state.url"
USE_OTHER = "write redis:// or redis+sentinel:// in state.url"

T = TypeVar("T")


class Place(Protocol):
    default_shards: int
    is_cluster: bool
    name: str
    """For messages: which server, group or cluster."""

    async def node_of(self, tag: bytes) -> Node:
        """Return the server that has the keys with a hash tag. Raises RedisError or OSError."""

    def line_to(self, tag: bytes) -> Line | None:
        """Return a line to that server if there is one, and no doubt about it."""

    async def node_at(self, address: Address) -> Node:
        """Return the server that another one pointed to."""

    async def nodes(self) -> list[Node]:
        """Return all primaries."""

    async def doubt(self) -> None: ...

    async def close(self) -> None: ...


class Single:
    """One server, or whatever a name or a floating address stands for at the moment."""

    default_shards = 1
    is_cluster = False

    def __init__(self, address: Address, dialling: Dialling) -> None:
        self._node = Node(address, dialling)
        self.name = f"Redis at {self._node.name}"

    async def node_of(self, tag: bytes) -> Node:
        return self._node

    def line_to(self, tag: bytes) -> Line | None:
        return self._node.line()

    async def node_at(self, address: Address) -> Node:
        raise BadStore(f"{self.name} belongs to a cluster: {USE_CLUSTER}")

    async def nodes(self) -> list[Node]:
        return [self._node]

    async def doubt(self) -> None:
        await self._node.close_idle()

    async def close(self) -> None:
        await self._node.close()


class SentinelGroup:
    """The primary of a group, as its Sentinels name it and as it confirms itself."""

    default_shards = 1
    is_cluster = False

    def __init__(self, group: str, sentinels: Sequence[Address], asking: Dialling, dialling: Dialling) -> None:
        """`asking` is how connections to Sentinels are made."""
        self.name = f"Redis group {group}"
        self._group = group
        self._sentinels = [Node(address, asking) for address in sentinels]
        self._dialling = dialling
        self._primary: Node | None = None
        self._is_doubtful = True
        self._lock = asyncio.Lock()

    async def node_of(self, tag: bytes) -> Node:
        async with self._lock:
            if self._is_doubtful or self._primary is None:
                await self._find()
            assert self._primary is not None
            return self._primary

    def line_to(self, tag: bytes) -> Line | None:
        return None if self._is_doubtful or self._primary is None else self._primary.line()

    async def node_at(self, address: Address) -> Node:
        raise BadStore(f"{self.name} belongs to a cluster: {USE_CLUSTER}")

    async def nodes(self) -> list[Node]:
        return [await self.node_of(b"")]

    async def doubt(self) -> None:
        self._is_doubtful = True

    async def close(self) -> None:
        for node in (*self._sentinels, *([self._primary] if self._primary else [])):
            await node.close()

    async def _find(self) -> None:
        """Believe the Sentinel that knows of the latest failover: one that is cut off names the old primary."""
        answers = await answers_of((self._primary_by(node) for node in self._sentinels), SENTINEL_GRACE)
        _, address = max(answers)
        if self._primary is None or self._primary.address != address:
            if self._primary is not None:
                await self._primary.close()
            self._primary = Node(address, self._dialling, is_primary=True)
        self._is_doubtful = False

    async def _primary_by(self, sentinel: Node) -> tuple[int, tuple[str, int]]:
        (reply,) = await sentinel.ask([packed("SENTINEL", "MASTER", self._group)])
        if isinstance(reply, ResponseError):
            raise ConnectionError(f"the Sentinel at {sentinel.name} says about the group {self._group}: {reply}")
        told = dict(zip(*[iter(word.decode() for word in reply)] * 2, strict=True))
        return int(told.get("config-epoch", 0)), (told["ip"], int(told["port"]))


class Cluster:
    """The primaries of a Cluster, by slot."""

    default_shards = 16
    is_cluster = True

    def __init__(self, seeds: Sequence[Address], dialling: Dialling) -> None:
        self.name = "the Redis cluster"
        self._seeds = seeds
        self._dialling = dialling
        self._known: dict[Address, Node] = {}
        self._slots: list[tuple[int, int, Node]] = []
        self._by_tag: dict[bytes, Node] = {}
        self._is_doubtful = True
        self._lock = asyncio.Lock()

    async def node_of(self, tag: bytes) -> Node:
        slot = key_slot(tag)
        for first, last, node in await self._map():
            if first <= slot <= last:
                self._by_tag[tag] = node
                return node
        self._is_doubtful = True
        raise ConnectionError(f"no node of the cluster serves slot {slot}")

    def line_to(self, tag: bytes) -> Line | None:
        node = None if self._is_doubtful else self._by_tag.get(tag)
        return None if node is None else node.line()

    async def node_at(self, address: Address) -> Node:
        return self._node(address)

    async def nodes(self) -> list[Node]:
        return list({node.name: node for _, _, node in await self._map()}.values())

    async def doubt(self) -> None:
        self._is_doubtful = True

    async def close(self) -> None:
        for node in self._known.values():
            await node.close()

    async def _map(self) -> list[tuple[int, int, Node]]:
        async with self._lock:
            if self._is_doubtful:
                addresses = dict.fromkeys([*(node.address for _, _, node in self._slots), *self._seeds])
                asked = [self._slots_by(self._node(address)) for address in addresses]
                ranges = (await answers_of(asked, 0))[0]
                self._slots = [(first, last, self._node(address)) for first, last, address in ranges]
                self._by_tag.clear()
                await self._forget_others()
                self._is_doubtful = False
            return self._slots

    async def _forget_others(self) -> None:
        used = {*self._seeds, *(node.address for _, _, node in self._slots)}
        for address in [address for address in self._known if address not in used]:
            await self._known.pop(address).close()

    def _node(self, address: Address) -> Node:
        if address not in self._known:
            self._known[address] = Node(address, self._dialling)
        return self._known[address]

    async def _slots_by(self, node: Node) -> list[tuple[int, int, Address]]:
        (reply,) = await node.ask([packed("CLUSTER", "SLOTS")])
        if isinstance(reply, ResponseError):
            if "cluster support disabled" in str(reply):
                raise BadStore(f"Redis at {node.name} is no cluster: {USE_OTHER}")
            raise ConnectionError(f"{node.name} does not tell the slots of the cluster: {reply}")
        assert not isinstance(node.address, str)
        own_host = node.address[0]
        return [
            (first, last, (primary[0].decode() if primary[0] else own_host, int(primary[1])))
            for first, last, primary, *_ in reply
        ]


async def answers_of(questions: Iterable[Awaitable[T]], grace: float) -> list[T]:
    """Ask all at once; return what came within `grace`, or else the first answer. Raises if none can answer."""
    tasks = [asyncio.ensure_future(question) for question in questions]
    try:
        waiting = set(tasks)
        if grace:
            _, waiting = await asyncio.wait(waiting, timeout=grace)
        while not (answers := [task.result() for task in tasks if task.done() and task.exception() is None]):
            if not waiting:
                raise _worst(tasks)
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return answers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _worst(tasks: "Sequence[asyncio.Future[T]]") -> BaseException:
    errors = [error for task in tasks if (error := task.exception()) is not None]
    unexpected = [error for error in errors if not isinstance(error, RedisError | OSError)]
    return (unexpected or errors)[0]
