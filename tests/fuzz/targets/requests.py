"""Any bytes from a client, in whatever pieces: the same requests go on, the same answers come back, and all is strict.

The first byte says in what pieces the rest arrives. It is given to one gateway whole, to another one in pieces. What
the upstream sees is read by a strict reader and by h11, which also reads what the client sent: nothing goes on that
another parser would read differently.
"""

import re
from functools import cache

import h11

from gateway.config.snapshot import Snapshot
from gateway.model.errors import MalformedMessage
from gateway.proxy.relay import Relay
from tests.fuzz.strict_http import Message, read_answers, read_requests
from tests.fuzz.wire import Between, Wire, pieces, snapshot

_REFUSED = ("what never became a request: which of its faults is seen first depends on the pieces",)
_REQUEST_ID = re.compile(rb"[0-9a-f]{12}-[0-9a-f]+")


def check(data: bytes) -> None:
    choice, stream = (data[0], data[1:]) if data else (1, b"")
    whole = _Exchange([stream] if stream else [])
    split = _Exchange(pieces(stream, choice))
    _compare(whole, split)
    whole.compare_with_h11(stream)


@cache
def _snapshot() -> Snapshot:
    return snapshot()


class _Exchange:
    """What came of a client's bytes: `seen` by the upstream, `answers` for the client, and what was recorded."""

    def __init__(self, parts: list[bytes]) -> None:
        self._answered: dict[Wire, int] = {}
        self._heard: dict[Wire, bytes] = {}
        self.order: list[tuple[bytes, ...]] = []
        between = Between(_snapshot(), self._far)
        between.feed(parts)
        client = between.client
        self.is_closed = client.is_closed or client.has_eof
        written = client.written
        self.finished = list(between.recorder.relays)
        between.close()
        self.relays: list[Relay] = between.recorder.relays
        self.seen = [message for stream in self._heard.values() for message in read_requests(stream)]
        self.complete = [_plain(message) for message in self.seen if message.is_complete]
        methods = [relay.request.method.encode() for relay in self.finished]
        answers = read_answers(written, methods, is_closed=False)
        assert len(answers) <= len(methods)
        assert all(answer.is_complete for answer in answers)
        self.answers = [
            _plain(answer) if method else _REFUSED for answer, method in zip(answers, methods, strict=False)
        ]
        self._check_upstream()

    def _far(self, wire: Wire, data: bytes) -> None:
        """Answer each request when it is complete."""
        heard = self._heard[wire] = self._heard.get(wire, b"") + data
        requests = [message for message in read_requests(heard) if message.is_complete]
        for request in requests[self._answered.get(wire, 0) :]:
            self.order.append(request.start)
            body = b"" if request.start[0] == b"HEAD" else b"hello"
            wire.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        self._answered[wire] = len(requests)

    def _check_upstream(self) -> None:
        """What went on is what was allowed, request by request, and h11 reads it as the strict reader does."""
        allowed = [relay for relay in self.relays if relay.allow is not None]
        assert len(self.seen) <= len(allowed)
        for relay in self.relays:
            if relay.error is not None and relay.allow is None:
                assert relay.sent_at == 0
        meant: list[tuple[bytes, ...]] = [
            (relay.request.method.encode(), relay.allow.target) for relay in allowed if relay.allow is not None
        ]
        remaining = iter(meant)
        assert all(start in remaining for start in self.order), (self.order, meant)
        for stream in self._heard.values():
            strict = [message for message in read_requests(stream) if message.is_complete]
            assert _read_by_h11(stream)[: len(strict)] == [(*each.start, each.body) for each in strict]

    def compare_with_h11(self, stream: bytes) -> None:
        """As far as h11 reads what the client sent, the same requests went on."""
        read = _read_by_h11(stream)
        recorded = [relay for relay in self.finished if relay.request.method]
        for (method, target, body), relay in zip(read, recorded, strict=False):
            assert (relay.request.method.encode(), relay.request.target) == (method, target)
            assert relay.framing != "length" or not isinstance(relay.error, MalformedMessage)
            if relay.request_complete and relay.allow is not None and relay.error is None:
                assert relay.request_bytes == len(body)


def _compare(whole: _Exchange, split: _Exchange) -> None:
    """One may end earlier than the other (a refused body that is not there yet is not waited for), if it closes."""
    for mine, others in ((whole.complete, split.complete), (whole.answers, split.answers)):
        common = min(len(mine), len(others))
        assert mine[:common] == others[:common]
    shorter, longer = sorted((whole, split), key=lambda each: len(each.answers))
    if len(shorter.answers) < len(longer.answers):
        assert shorter.is_closed


def _plain(message: Message) -> tuple[object, ...]:
    headers = tuple(
        (name, _REQUEST_ID.sub(b"id", value))
        for name, value in message.headers
        if name not in (b"Connection", b"Date", b"Content-Length")
    )
    return message.start, headers, _REQUEST_ID.sub(b"id", message.body)


def _read_by_h11(stream: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return method, target and body of the complete requests, up to the first that h11 refuses or that ends it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    requests: list[tuple[bytes, bytes, bytes]] = []
    method = target = body = b""
    try:
        connection.receive_data(stream)
        while True:
            event = connection.next_event()
            match event:
                case h11.Request():
                    method, target, body = event.method, event.target, b""
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    requests.append((method, target, body))
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                    connection.send(h11.EndOfMessage())
                case h11.PAUSED:
                    connection.start_next_cycle()
                case _:
                    return requests
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return requests
