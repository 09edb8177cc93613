"""A gateway that commands ask, and the commands in processes of their own."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.session_gateway import SECTIONS, write_files
from tests.trips.running import Running, running
from tests.trips.wire import answering, upstream

READ_TOKEN = "a-token-of-those-who-may-only-look-of-32"
WITHIN = 30.0
"""Seconds for what must come about, on a machine that has other things to do."""
ROUTES = [
    {"id": "api", "match": {"path": "/api/**"}, "upstream": "app", "authenticators": ["own", "staff"]},
    {"id": "open", "match": {"path": "/open/**"}, "upstream": "app", "access": "public"},
]


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@asynccontextmanager
async def asked_gateway(directory: Path, address: str, **sections: Any) -> AsyncIterator[Running]:
    """Run a gateway with sessions and an admin API at this address; its `config.yaml` is there for commands."""
    write_files(directory)
    (directory / "read-token").write_text(READ_TOKEN)
    admin = {**SECTIONS["admin"], "read": {"token_file": "read-token"}, "decisions": {"sample": 1}, "address": address}
    sections = {**SECTIONS, "admin": admin, "routes": ROUTES, **sections}
    (directory / "config.yaml").write_text(json.dumps({"admin": sections["admin"]}))
    async with (
        upstream(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as app,
        running(directory, json.dumps(sections), app.url) as gateway,
    ):
        yield gateway


async def command(*words: object, **variables: str) -> Ended:
    """Run a command to its end."""
    async with started(*words, variables=variables) as process, asyncio.timeout(WITHIN):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def started(
    *words: object, variables: Mapping[str, str] | None = None, stdout: int = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command. Leaving ends it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *map(str, words)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line_of(stream: asyncio.StreamReader | None) -> str:
    """Return the next line, without its end."""
    assert stream is not None
    async with asyncio.timeout(WITHIN):
        return (await stream.readline()).decode().rstrip("\n")
