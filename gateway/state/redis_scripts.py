"""The Lua scripts that Redis runs for this gateway, and commands that call them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from redis.exceptions import NoScriptError

from gateway.state.redis_line import Reply
from gateway.state.redis_node import Ask, Words, packed


@dataclass(frozen=True, slots=True)
class Command:
    """What is sent, and what is sent instead if the server does not have the script."""

    packed: bytes
    in_full: Words | None = None


def plain(*words: bytes | str | int) -> Command:
    return Command(packed(*words))


class Script:
    """A script, called by its digest: a server that lost it gets it again with the next call."""

    def __init__(self, *files: str) -> None:
        lua = resources.files("gateway.state") / "lua"
        self._source = b"\n".join((lua / file).read_bytes() for file in files)
        self.digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[bytes], arguments: Sequence[bytes | str | int] = ()) -> Command:
        rest = (len(keys), *keys, *arguments)
        return Command(packed("EVALSHA", self.digest, *rest), ("EVAL", self._source, *rest))


OPEN = Script("feed.lua", "open.lua")
COMMIT = Script("feed.lua", "commit.lua")
PUBLISH = Script("feed.lua", "publish.lua")
TAIL = Script("feed.lua", "tail.lua")
SESSIONS = Script("sessions.lua")
RATES = Script("rates.lua")


async def send(ask: Ask, commands: Sequence[Command]) -> list[Reply]:
    """Send commands, once more with the scripts in full if the server lacks one."""
    replies = await ask([command.packed for command in commands])
    if any(isinstance(reply, NoScriptError) for reply in replies):
        replies = await ask([_in_full(command) for command in commands])
    return replies


def _in_full(command: Command) -> bytes:
    return command.packed if command.in_full is None else packed(*command.in_full)
