"""What an examination finds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from gateway.config.schema import Config
from gateway.model.clock import Clock, unix_now

Level = Literal["ok", "advice", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what is, and what to do about it where that is not as it should be.

    `name` is one of those in docs/doctor.md. Neither text ever holds a secret.
    """

    name: str
    level: Level
    says: str
    to_do: str = ""


def fine(name: str, says: str) -> Finding:
    return Finding(name, "ok", says)


def advice(name: str, says: str, to_do: str) -> Finding:
    return Finding(name, "advice", says, to_do)


def problem(name: str, says: str, to_do: str) -> Finding:
    return Finding(name, "problem", says, to_do)


@dataclass(frozen=True, slots=True)
class Patient:
    """A deployment: its configuration, and what is asked about the host that it runs on."""

    config: Config
    file: Path
    clock: Clock = unix_now

    @property
    def directory(self) -> Path:
        """Where relative file names of the configuration start."""
        return self.file.absolute().parent


Look = Callable[[Patient], list[Finding]]
"""Looks at one thing of the configuration or this host. Changes nothing."""
Ask = Callable[[Patient], Awaitable[list[Finding]]]
"""Asks somebody else. Changes nothing there."""


def is_open(host: str) -> bool:
    """Say whether others than this host can reach what listens at a host of an address; an empty one is any."""
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
