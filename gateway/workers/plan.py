"""What `serve` hands to the parent that it becomes."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import gateway

Sockets = dict[str, int]
"""Descriptors of listening sockets, by the address that they have in the configuration."""


@dataclass(frozen=True, slots=True)
class LogStyle:
    """What events look like, without a configuration."""

    format: str
    level: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Addresses and durations, and nothing that is secret."""

    config: str
    """The configuration file, for the workers to read."""
    listen: tuple[str, ...]
    """Where requests come in."""
    slots: tuple[Sockets, ...]
    """For each worker the sockets that it serves. One that several share is in several slots."""
    ours: tuple[int, ...]
    """Those of these sockets that nobody outside of the gateway listens on."""
    ops: Sockets
    log_format: str
    log_level: str

    def descriptors(self) -> set[int]:
        """Return all descriptors of sockets."""
        return {*self.served(), *self.ops.values()}

    def served(self) -> set[int]:
        """Return those that workers serve."""
        return {descriptor for sockets in self.slots for descriptor in sockets.values()}


def become_parent(plan: Plan) -> None:
    """Replace this program by the parent. Does not return; raises OSError."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    os.write(write, json.dumps(asdict(plan)).encode())
    os.close(write)
    for descriptor in (read, *plan.descriptors()):
        os.set_inheritable(descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    command = [*interpreter(), "parent", plan.config, "--plan", str(read)]
    os.execv(command[0], command)  # noqa: S606 - our own interpreter, and no shell


def read_plan(descriptor: int) -> Plan:
    """Return the plan that was handed over. The sockets in it are not inherited by accident any more."""
    with os.fdopen(descriptor) as pipe:
        values = json.load(pipe)
    plan = Plan(**{**values, **{name: tuple(values[name]) for name in ("listen", "slots", "ours")}})
    for each in plan.descriptors():
        os.set_inheritable(each, False)
    return plan


def interpreter() -> list[str]:
    """Return the command that runs this very package. The working directory holds it, or is not looked at."""
    is_here = Path(gateway.__file__).parents[1] == Path.cwd()
    return [sys.executable, *([] if is_here else ["-P"]), "-m", "gateway"]
