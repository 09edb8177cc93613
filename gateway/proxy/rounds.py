"""Connections of the data plane work in rounds: first all are read, then they work, then all that they say is written.

The kernel's code for a socket and ours for a request throw each other out of the processor's caches. By turns for each
connection, a request costs up to half as much again (docs/decisions/0021-rounds.md).
"""

import asyncio
from typing import Final

_BULK: Final = 16 * 1024
"""Bytes in one piece that do not wait for the others: they would pile up, and are worth a way of their own."""
_TOGETHER: Final = 64
"""Connections after which is written what there is, so that it does not wait for the rest of a large round."""
_FEW: Final = 4
"""Fewer connections than this have nothing to gain by a round, and would wait for each other."""
_ALONE: Final = 16
"""Pieces that are worked on at once after two rounds that small, before others show whether they still are."""


class Rounds:
    """One per data plane."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.is_working = False
        """What is written meanwhile leaves at the end."""
        self.arrived: list[Connection] = []
        self.leaving: list[Connection] = []
        self.at_once = 0
        """So many more pieces do not wait."""
        self._is_small = False
        """Whether the last round was."""

    def enter(self, connection: "Connection") -> None:
        """Let a connection work on what has arrived: once everything that the kernel has is read, if that is much."""
        if self.at_once:
            self.at_once -= 1
            connection.take()
            return
        if not self.arrived:
            self._loop.call_soon(self.work)
        self.arrived.append(connection)

    def work(self) -> None:
        """Let each connection work on what has arrived, and then write. Asked for as well by whatever comes after that:
        what is too large to wait, a new configuration, the end.
        """
        arrived, self.arrived = self.arrived, []
        if not arrived:
            return
        was_small, self._is_small = self._is_small, len(arrived) < _FEW
        if was_small and self._is_small:
            self.at_once = _ALONE
        for first in range(0, len(arrived), _TOGETHER):
            self.is_working = True
            for connection in arrived[first : first + _TOGETHER]:
                connection.take()
            self.is_working = False
            leaving, self.leaving = self.leaving, []
            for connection in leaving:
                connection.write_out()

    def report(self, error: Exception) -> None:
        """A connection failed: a bug, which ends that one only."""
        self._loop.call_exception_handler({"message": "a connection failed", "exception": error})


class Connection:
    """A client's or an upstream's: what arrives is given to `received`, and `lost` is called once it is over.

    It is an asyncio.Protocol in all but name: a class compiled by mypyc has no base that is not.
    """

    transport: asyncio.Transport

    def __init__(self, rounds: Rounds) -> None:
        self.is_closed = False
        self._rounds = rounds
        self._arrived = b""
        self._leaving: list[bytes] = []

    def received(self, data: bytes) -> None:
        """Work on bytes of the other side."""
        raise NotImplementedError

    def lost(self, error: Exception | None) -> None:
        """The connection is closed. Must set `is_closed` first, and do nothing when called again."""
        raise NotImplementedError

    # --- asyncio: what arrives

    def data_received(self, data: bytes) -> None:
        if not self._arrived and len(data) < _BULK:
            self._arrived = data
            self._rounds.enter(self)
        else:
            self._rounds.work()  # what came before comes first, of the other side as well
            self._arrived = data
            self.take()

    def connection_lost(self, error: Exception | None) -> None:
        self.take()
        self.lost(error)

    def take(self) -> None:
        """Work on what has arrived."""
        data, self._arrived = self._arrived, b""
        if not data or self.is_closed:
            return
        try:
            self.received(data)
        except Exception as error:  # noqa: BLE001 - a bug in one must not keep the others from their turn
            self._break_off(error)

    # --- what leaves

    def write(self, data: bytes) -> None:
        """Write, at the end of the round if one is under way: not before that, `pause_writing` may be called."""
        if self._rounds.is_working or self._leaving:
            if not self._leaving:
                self._rounds.leaving.append(self)
            self._leaving.append(data)
        else:
            self.transport.write(data)

    def write_out(self) -> None:
        """Write what was to leave at the end of the round: the connection may be closed then."""
        leaving = self._leaving
        if leaving and not self.is_closed:
            data = leaving[0] if len(leaving) == 1 else b"".join(leaving)
            leaving.clear()
            try:
                self.transport.write(data)
            except Exception as error:  # noqa: BLE001 - as above
                self._break_off(error)

    def _break_off(self, error: Exception) -> None:
        """A bug ends the connection, and no other one."""
        self._rounds.report(error)
        self.transport.abort()
        try:
            self.lost(error)
        except Exception as another:  # noqa: BLE001 - as above
            self._rounds.report(another)
