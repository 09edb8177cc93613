"""Header lines as they are handed on to the engine: what targets below the parser are fed."""

import httptools

Header = tuple[bytes, bytes]


class _Head:
    def __init__(self) -> None:
        self.headers: list[Header] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value.rstrip(b" \t")))


def parsed_headers(lines: bytes) -> list[Header] | None:
    """Return the headers in lines that end with a line feed; None if the parser refuses them."""
    head = _Head()
    body = b"".join(line + b"\r\n" for line in lines.split(b"\n") if line)
    try:
        httptools.HttpRequestParser(head).feed_data(b"GET / HTTP/1.1\r\n" + body + b"\r\n")
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    return head.headers
