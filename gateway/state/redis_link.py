"""The way to Redis: every call has a deadline, and every failure is StoreUnavailable.

Whatever is sent may be sent again, so one call looks for another server where the first one refused, was gone, or
pointed elsewhere, as long as the deadline allows. Messages of errors are for operators; they hold no secret.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from redis.exceptions import (
    AskError,
    AuthenticationError,
    ConnectionError,  # noqa: A004
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.notice import Notice
from gateway.state.redis_line import Reply
from gateway.state.redis_node import CONNECTIONS, Node
from gateway.state.redis_places import Place
from gateway.state.redis_scripts import Command, plain, send
from gateway.state.turns import Turns

ATTEMPTS = 3
"""How often one call looks for another server."""
PAUSE = 0.02
"""Before a call is repeated whose keys are just moving from node to node: those that write must wait until they did."""
LOOK_AGAIN = 1.0
"""Seconds after which to ask again whether there is a replica."""
TURNS = CONNECTIONS - 4
"""How many calls are under way at a time; the readings of the feed come besides."""
PATIENCE = 4
"""How many deadlines a call waits for its turn, when many come at once: no deadline begins before the turn has come."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """The keys of a shard: they share a hash tag, and so a slot."""

    tag: bytes
    feed: tuple[bytes, ...]
    """Those of a feed: its head, revocations in force, when each ends, news."""
    prefix: bytes

    def of(self, kind: bytes, name: bytes) -> bytes:
        """Return a key with a name."""
        return self.prefix + kind + name


class Link:
    """Sends commands to where a shard is."""

    def __init__(
        self,
        place: Place,
        *,
        prefix: str,
        timeout: float,
        shards: int | None = None,
        wait_replicas: int | Literal["auto"] = "auto",
        notice: Notice = lambda event, fields: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self.shards = shards or place.default_shards
        self.notice = notice
        self._prefix = prefix
        self._keys: dict[int, ShardKeys] = {}
        self._timeout = timeout
        self._wait_replicas = wait_replicas
        self._monotonic = monotonic
        self._wait_ms = int(timeout * 333) or 1  # a third: twice goes into a call whose script must be sent again
        self._has_replica = False
        self._looked_at = float("-inf")
        self._turns = Turns(TURNS)
        self._is_closed = False

    def keys(self, shard: int) -> ShardKeys:
        if (keys := self._keys.get(shard)) is None:
            tag = b"h%02d" % shard
            prefix = b"%b:{%b}:" % (self._prefix.encode(), tag)
            feed = tuple(prefix + name for name in (b"head", b"revoked", b"ends", b"news"))
            keys = self._keys[shard] = ShardKeys(tag, feed, prefix)
        return keys

    async def ask(self, shard: int, *commands: Command) -> list[Reply]:
        """Send commands that do not wait for anything; return their replies. Raises StoreUnavailable, for error replies
        too."""
        if not self._turns.take():
            await self._wait_for_turn()
        try:
            began_at = asyncio.get_running_loop().time()
            if (line := self.place.line_to(self.keys(shard).tag)) is not None and not self._is_closed:
                packed = commands[0].packed if len(commands) == 1 else b"".join([each.packed for each in commands])
                try:
                    if (replies := await line.ask(packed, len(commands))) is not None:
                        return replies
                except ConnectionError:
                    pass  # it may be no more than that this line is old
                except TimeoutError as error:
                    raise await self._overdue() from error
            async with self._deadline(began_at):
                return await self._ask(shard, commands)
        finally:
            self._turns.give_back()

    async def ask_apart(self, shard: int, *commands: Command) -> list[Reply]:
        """Send commands on a connection of their own; like `ask`."""
        if not self._turns.take():
            await self._wait_for_turn()
        try:
            async with self._deadline():
                return await self._ask(shard, commands)
        finally:
            self._turns.give_back()

    async def ask_each(self, commands: Mapping[int, Command]) -> dict[int, Reply]:
        """Send one command to each of several shards, those of one server together."""
        async with self._deadline():
            groups: dict[str, dict[int, Command]] = defaultdict(dict)
            for shard, command in commands.items():
                groups[(await self.place.node_of(self.keys(shard).tag)).name][shard] = command
            answers = await together([self._ask_group(group) for group in groups.values()])
            return {shard: reply for answer in answers for shard, reply in answer.items()}

    async def confirm(self, shard: int, command: Command, *, is_durable: bool) -> Reply:
        """Send a command that writes; if it is durable, until a replica has it. Raises Unconfirmed."""
        replicas = await self._replicas() if is_durable else 0
        if not replicas:
            return (await self.ask(shard, command))[0]
        reply, confirmed = await self.ask_apart(shard, command, plain("WAIT", replicas, self._wait_ms))
        if reply and confirmed < replicas:
            raise Unconfirmed(f"{confirmed} replicas of {self.place.name} have it, not {replicas}")
        return reply

    @asynccontextmanager
    async def hold(self, shard: int) -> AsyncIterator[Callable[[Command], Coroutine[Any, Any, Reply]]]:
        """Give a way to ask one and the same run of a server, each time with a deadline of its own."""
        async with self._deadline():
            node = await self.place.node_of(self.keys(shard).tag)
        async with node.hold() as ask:

            async def ask_one(command: Command) -> Reply:
                async with self._deadline():
                    return _good(await send(ask, [command]))[0]

            yield ask_one

    async def ask_primaries(self, *commands: Command) -> list[tuple[Node, list[Reply]]]:
        """Send commands to every primary. Error replies are returned."""
        async with self._deadline():
            nodes = await self.place.nodes()
            return list(zip(nodes, await together([send(node.ask, commands) for node in nodes]), strict=True))

    async def doubt(self) -> None:
        await self.place.doubt()

    async def close(self) -> None:
        self._is_closed = True
        await self.place.close()

    # --- one call

    async def _ask(self, shard: int, commands: Sequence[Command]) -> list[Reply]:
        attempt = 0
        while True:
            attempt += 1
            try:
                node = await self.place.node_of(self.keys(shard).tag)
                return _good(await self._follow(await send(node.ask, commands), commands))
            except TryAgainError:
                if attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(PAUSE)
            except (RedisError, OSError) as error:
                await self.place.doubt()
                if attempt == ATTEMPTS or not _is_worth_another(error):
                    raise

    async def _follow(self, replies: list[Reply], commands: Sequence[Command]) -> list[Reply]:
        """Send commands once more to the node that has a key already while its slot is moving (ASK)."""
        error = next((reply for reply in replies if isinstance(reply, AskError)), None)
        if error is None or isinstance(error, MovedError):
            return replies
        node = await self.place.node_at((error.host, error.port))
        pairs = [each for command in commands for each in (plain("ASKING"), command)]
        return (await send(node.ask, pairs))[1::2]

    async def _ask_group(self, commands: Mapping[int, Command]) -> dict[int, Reply]:
        try:
            node = await self.place.node_of(self.keys(next(iter(commands))).tag)
            replies = _good(await send(node.ask, list(commands.values())))
            return dict(zip(commands, replies, strict=True))
        except RedisError:
            await self.place.doubt()
        return {shard: (await self._ask(shard, [command]))[0] for shard, command in commands.items()}

    # --- replicas

    async def _replicas(self) -> int:
        """Return how many replicas must have a durable write: from when one was seen, with `auto`."""
        if self._wait_replicas != "auto":
            return self._wait_replicas
        if not self._has_replica and self._monotonic() - self._looked_at >= LOOK_AGAIN:
            self._looked_at = self._monotonic()
            for _, (reply,) in await self.ask_primaries(plain("INFO", "replication")):
                self.saw_replication(reply)
        return int(self._has_replica)

    def saw_replication(self, info: Reply) -> None:
        """Take note of an answer to `INFO replication`."""
        if isinstance(info, bytes) and re.search(rb"^connected_slaves:[1-9]", info, re.MULTILINE):
            self._has_replica = True

    # --- turns, deadlines and errors

    async def _wait_for_turn(self) -> None:
        """A crowd is no fault of the server: it must not use up the deadlines of those in it."""
        try:
            async with asyncio.timeout(self._timeout * PATIENCE):
                await self._turns.wait()
        except TimeoutError as error:
            raise StoreUnavailable(f"too many calls to {self.place.name} at once") from error

    @asynccontextmanager
    async def _deadline(self, began_at: float | None = None) -> AsyncIterator[None]:
        if self._is_closed:
            raise StoreUnavailable(f"{self.place.name} is not in use any more")
        began_at = asyncio.get_running_loop().time() if began_at is None else began_at
        try:
            async with asyncio.timeout_at(began_at + self._timeout):
                yield
        except TimeoutError as error:
            raise await self._overdue() from error
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"{self.place.name}: {words_of(error)}") from error

    async def _overdue(self) -> StoreUnavailable:
        await self.place.doubt()
        return StoreUnavailable(f"{self.place.name} did not answer within {self._timeout:g} s")


def words_of(error: BaseException) -> str:
    """Return what an error says, without what it quotes of a command."""
    code = getattr(error, "status_code", None)
    text = str(error).partition(", with args beginning with")[0][:300] or type(error).__name__
    return f"{code} {text}" if code else text


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do several things at once; the first error ends them all, and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def _good(replies: list[Reply]) -> list[Reply]:
    for reply in replies:
        if isinstance(reply, RedisError):
            raise reply
    return replies


def _is_worth_another(error: BaseException) -> bool:
    """Say whether another server may take what this one did not."""
    if isinstance(error, AuthenticationError):
        return False
    is_refused = isinstance(error, ResponseError) and str(error).startswith("NOREPLICAS")
    return is_refused or isinstance(error, ConnectionError | MovedError | ReadOnlyError)
