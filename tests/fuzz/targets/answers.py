"""Any bytes from an upstream, in whatever pieces: the client gets one strict answer, and the next client its own.

The first byte chooses the client's request, the second one the pieces; the lowest bit of that: the upstream closes
afterwards. h11 reads what the upstream sent, too.
"""

from functools import cache

import h11

from gateway.config.snapshot import Snapshot
from tests.fuzz.strict_http import Message, read_answers, read_requests
from tests.fuzz.wire import Between, Wire, pieces, snapshot

_HOST = b"Host: api.example\r\n"
REQUESTS = (
    b"GET / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"HEAD / HTTP/1.1\r\n" + _HOST + b"\r\n",
    b"POST / HTTP/1.1\r\n" + _HOST + b"Content-Length: 5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\n" + _HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + _HOST + b"Connection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + _HOST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"OPTIONS / HTTP/1.1\r\n" + _HOST + b"\r\n",
)
_SECOND = b"GET /second HTTP/1.1\r\n" + _HOST + b"\r\n"
_MARK = b"the answer to the second request, and to no other"
_HOP_BY_HOP = {b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"proxy-authenticate"}


@cache
def _snapshot() -> Snapshot:
    return snapshot()


def check(data: bytes) -> None:
    chosen, choice, stream = data[0] if data else 0, data[1] if len(data) > 1 else 1, data[2:]
    asked = REQUESTS[chosen % len(REQUESTS)]
    heard: dict[Wire, bytes] = {}
    script = [pieces(stream, choice >> 1) if chosen & 128 else [stream] if stream else []]

    def far(wire: Wire, sent: bytes) -> None:
        before = len(_complete(heard.get(wire, b"")))
        heard[wire] = heard.get(wire, b"") + sent
        for request in _complete(heard[wire])[before:]:
            if request.start[1] == b"/second":
                wire.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(_MARK), _MARK))
                continue
            for part in script.pop() if script else ():
                wire.feed(part)
            if choice & 1:
                wire.feed_eof()

    between = Between(_snapshot(), far)
    between.feed([asked])
    first = between.client
    if asked is REQUESTS[3] and first.written.startswith(b"HTTP/1.1 101 "):
        _check_tunnel(first, stream)
    else:
        _check_first(between, asked, stream, is_cut_short=not choice & 1)
    between.client = between.new_client()
    between.feed([_SECOND])
    [second] = read_answers(between.client.written, [b"GET"], is_closed=False)
    assert (second.start, second.body) == ((b"200",), _MARK), second
    assert [name for name, _ in second.headers] == [b"Content-Length"], second
    assert second.is_complete
    between.close()


def _complete(stream: bytes) -> list[Message]:
    return [message for message in read_requests(stream) if message.is_complete]


def _check_tunnel(client: Wire, stream: bytes) -> None:
    """Everything after the head that switched protocols passes as it is."""
    head, _, rest = client.written.partition(b"\r\n\r\n")
    assert stream.endswith(rest)
    assert b"\r\nConnection: Upgrade\r\nUpgrade: " in head


def _check_first(between: Between, asked: bytes, stream: bytes, *, is_cut_short: bool) -> None:
    client = between.client
    method, is_old = asked.partition(b" ")[0], b"HTTP/1.0" in asked
    is_ended = client.is_closed and not client.is_aborted
    answers = read_answers(client.written, [method], is_closed=is_ended)
    assert len(answers) <= 1
    if is_old:
        assert not client.written.startswith(b"HTTP/1.1 1")
    if not answers:
        assert is_cut_short or client.is_aborted, "no answer, and not cut"
        return
    answer = answers[0]
    names = [name.lower() for name, _ in answer.headers]
    assert not _HOP_BY_HOP & set(names), names
    assert names.count(b"connection") <= 1
    assert not (is_old and b"transfer-encoding" in names)
    expected = _read_by_h11(asked, stream)
    if expected is None or answer.start[0] == b"502":
        return
    assert answer.start[0] == expected[0]
    assert expected[1].startswith(answer.body)
    if answer.is_complete and not client.is_aborted:
        assert answer.body == expected[1]


def _read_by_h11(asked: bytes, stream: bytes) -> tuple[bytes, bytes] | None:
    """Return status and body of the final answer, None if h11 does not read a whole one."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    method = asked.partition(b" ")[0]
    body = b""
    status = 0
    try:
        connection.send(h11.Request(method=method, target=b"/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(stream)
        while True:
            match event := connection.next_event():
                case h11.InformationalResponse():
                    pass
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage():
                    return b"%d" % status, body
                case _:
                    return None
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        return None
