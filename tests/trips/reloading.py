"""A whole gateway for a test whose configuration is a file that the test writes anew while it runs."""

import asyncio
import contextlib
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.config.load import load_config
from tests.issuing import Clock
from tests.minting import NOW, jwks
from tests.trips.running import KEY, Running, config
from tests.trips.wire import eventually

OUTCOMES = ("config_reloaded", "config_rejected", "config_refused", "config_unchanged")
WITHIN = 20.0
"""Seconds for what must come about, on a machine that has other things to do."""
LOG: dict[str, Any] = {"log": {"level": "info", "access": False}}


class Reloading(Running):
    """A gateway that serves what `file` says. `text` is what is not in the base, as in `running`."""

    def __init__(self, gateway: Gateway, clock: Clock, file: Path, targets: tuple[str, ...]) -> None:
        super().__init__(gateway, clock)
        self.file = file
        self.directory = file.parent
        self.targets = targets
        self.log = io.StringIO()
        self.gateway.log.handler.setStream(self.log)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the events of these names."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] in names]

    def write(self, text: str = "", *targets: str, **sections: Any) -> None:
        """Write another configuration in place of the one there is."""
        replace(self.file, whole(text, *(targets or self.targets), **sections))

    async def ask(self) -> dict[str, Any]:
        """Ask for a reload, as SIGHUP does, and return the event that tells what came of it."""
        before = len(self.events(*OUTCOMES))
        self.gateway.reload_soon()
        await eventually(lambda: len(self.events(*OUTCOMES)) > before, WITHIN)
        return self.events(*OUTCOMES)[before]

    async def change(self, text: str = "", *targets: str, **sections: Any) -> None:
        """Put another configuration in force."""
        self.write(text, *targets, **sections)
        event = await self.ask()
        assert event["event"] == "config_reloaded", event

    async def noticed(self, name: str, number: int = 1) -> dict[str, Any]:
        """Wait until an event of this name was logged so often without anybody having asked, and return the last."""
        await eventually(lambda: len(self.events(name)) >= number, WITHIN)
        return self.events(name)[number - 1]

    def metric(self, name: str) -> float:
        text = self.gateway.metrics.render(None)[0].decode()
        [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])


def whole(text: str = "", *targets: str, **sections: Any) -> bytes:
    """Return a configuration as the file holds it."""
    return json.dumps({**config(text, *targets), **LOG, **sections}).encode()


def replace(file: Path, content: bytes) -> None:
    """Put another content in place of a file's, as careful programs do."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    os.replace(new, file)


@asynccontextmanager
async def reloading(
    directory: Path, text: str = "", *targets: str, environment: dict[str, str] | None = None, **sections: Any
) -> AsyncIterator[Reloading]:
    """Run a gateway whose configuration is `gateway.yaml` in the directory. Leaving drains it."""
    (directory / "keys.json").write_bytes(jwks(KEY))
    file = directory / "gateway.yaml"
    if not file.exists():
        file.write_bytes(whole(text, *targets, **sections))
    names = environment or {}
    clock = Clock(NOW)
    async with Gateway(load_config(file, names).config, directory, clock, file=file, environment=names) as gateway:
        yield Reloading(gateway, clock, file, targets)


@asynccontextmanager
async def steadily(*work: Any) -> AsyncIterator[None]:
    """Run coroutines beside the block. One that fails fails the test; they are asked to end by cancellation."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
