"""What every contender of a run is given."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.material import Material

_NOWHERE: Final = 9


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one contender listens. Not every one has each."""

    http: int
    tls: int
    ops: int
    admin: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """What every contender is given.

    The upstream has two ports: on `upstream_port` it answers 500 unless it sees the right identity, on `plain_port` it
    does not look. `echo_port` is that of the WebSocket upstream.
    """

    directory: Path
    upstream_port: int
    material: Material
    connections: int
    plain_port: int = _NOWHERE
    echo_port: int = _NOWHERE

    @property
    def upstream(self) -> str:
        """The address of the upstream that wants to be told who is calling."""
        return f"127.0.0.1:{self.upstream_port}"

    @property
    def plain_upstream(self) -> str:
        """The address of the upstream for those who cannot tell."""
        return f"127.0.0.1:{self.plain_port}"

    @property
    def echo_upstream(self) -> str:
        """The address of the upstream for WebSockets."""
        return f"127.0.0.1:{self.echo_port}"

    def write(self, name: str, text: str) -> str:
        """Write a file of the run and return its path."""
        path = self.directory / name
        path.write_text(text)
        return str(path)

    def inside(self, name: str) -> "Scene":
        """Return the same scene with a new directory of its own."""
        directory = self.directory / name
        directory.mkdir()
        return replace(self, directory=directory)
