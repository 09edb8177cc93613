"""Callers who never stop, while something is done to what serves them."""

import http.client
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread

_PAUSE = 0.01
_PATIENCE = 30.0


class Load:
    """What became of requests, by path: statuses, and `broken` for an answer that did not come whole."""

    def __init__(self, port: int, tokens: Mapping[str, str]) -> None:
        self._port = port
        self._tokens = tokens
        self._seen: dict[str, Counter[int | str]] = {path: Counter() for path in tokens}
        self._is_over = Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [Thread(target=self._call, args=(path, token)) for path, token in self._tokens.items()]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()

    def next(self, path: str, number: int = 10) -> set[int | str]:
        """Return what becomes of the next so many requests."""
        counts = self._seen[path]
        before = counts.copy()
        end = time.monotonic() + _PATIENCE
        while (counts.copy() - before).total() < number:
            assert time.monotonic() < end, f"{path} is not answered any more: {counts}"
            time.sleep(_PAUSE)
        return set(counts.copy() - before)

    def until(self, path: str, outcome: int | str) -> None:
        """Wait until a request ends like this."""
        end = time.monotonic() + _PATIENCE
        while outcome not in self.next(path, 1):
            assert time.monotonic() < end, f"{path} never ends with {outcome}: {self._seen[path]}"

    def _call(self, path: str, token: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_PATIENCE)
        while not self._is_over.is_set():
            self._seen[path][_outcome(connection, path, token)] += 1
            time.sleep(_PAUSE)
        connection.close()


def _outcome(connection: http.client.HTTPConnection, path: str, token: str) -> int | str:
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return "broken"
    return response.status
