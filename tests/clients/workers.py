"""Looks at the worker processes of a gateway, and loads it from threads."""

import http.client
import os
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.processes import PATIENCE, GatewayProcess


def workers_of(gateway: GatewayProcess) -> dict[int, int]:
    """Return the process number of each worker, by its slot. Of two in a slot, the younger one."""
    children = Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()
    found = {}
    for pid in sorted(map(int, children)):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if "--number" in words:
                found[int(words[words.index("--number") + 1])] = pid
    return found


def is_alive(pid: int) -> bool:
    """Say whether a process runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def who_holds(connection: socket.socket, pids: list[int]) -> int | None:
    """Return the process that has the other end of a connection over loopback."""
    ours, theirs = (f"{end[1]:04X}" for end in (connection.getsockname(), connection.getpeername()))
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, *rest = line.split()
        if local.endswith(f":{theirs}") and remote.endswith(f":{ours}"):
            return next((pid for pid in pids if f"socket:[{rest[6]}]" in _descriptors(pid)), None)
    return None


def _descriptors(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            found.add(os.readlink(link))
    return found


def port_of(url: str) -> int:
    match = re.search(r":(\d+)$", url)
    assert match is not None
    return int(match[1])


@dataclass
class Load:
    """What clients have seen."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def note(self, failure: str | None) -> None:
        with self.lock:
            if failure is None:
                self.answered += 1
            else:
                self.failures.append(failure)


@contextmanager
def loaded(port: int, token: str, *, fresh: int, kept: int) -> Iterator[Load]:
    """Ask without a pause: `fresh` clients with a connection for each request, `kept` ones that keep theirs for as long
    as the gateway does. Nothing is ever tried twice."""
    load = Load()
    clients = [threading.Thread(target=_ask_on, args=(load, port, token, False)) for _ in range(fresh)]
    clients += [threading.Thread(target=_ask_on, args=(load, port, token, True)) for _ in range(kept)]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.over.set()
        for client in clients:
            client.join(PATIENCE)


def _ask_on(load: Load, port: int, token: str, keeps: bool) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    headers = {"Authorization": f"Bearer {token}", **({} if keeps else {"Connection": "close"})}
    while not load.over.is_set():
        try:
            connection.request("GET", "/api/x", headers=headers)
            with connection.getresponse() as response:
                response.read()
            load.note(None if response.status == 200 else f"status {response.status}")
        except (OSError, http.client.HTTPException) as error:
            load.note(f"{'kept' if keeps else 'fresh'} {error!r}")
            connection.close()
        load.over.wait(0.002)
    connection.close()
