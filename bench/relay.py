"""A relay before a primary that can swallow what the primary tells its replicas: a failover then loses the last writes.

    python -m bench.relay PORT TARGET_PORT

SIGUSR1 makes it swallow, until it ends. The replicas go on saying what they have, so the primary does not miss them.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.processes import ROOT, BenchError


class _Relay:
    def __init__(self, target: int) -> None:
        self._target = target
        self._is_swallowing = False

    def swallow(self) -> None:
        self._is_swallowing = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection, both ways."""
        with contextlib.suppress(OSError):
            try:
                target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
                link = _Link()
                await asyncio.gather(
                    self._carry(reader, target_writer, link, is_answer=False),
                    self._carry(target_reader, writer, link, is_answer=True),
                )
            finally:
                writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link", *, is_answer: bool
    ) -> None:
        try:
            while data := await reader.read(1 << 16):
                if not is_answer and b"PSYNC" in data:
                    link.is_replication = True
                if is_answer and link.is_replication and self._is_swallowing:
                    continue
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class _Link:
    """One connection."""

    is_replication = False


async def _main(port: int, target: int) -> None:
    relay = _Relay(target)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, relay.swallow)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


@contextmanager
def relay_running(port: int, target: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a relay as a process. Send it SIGUSR1 when it shall swallow."""
    command = [sys.executable, "-m", "bench.relay", str(port), str(target)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise BenchError("the relay did not start")
        yield process
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(*map(int, sys.argv[1:])))
