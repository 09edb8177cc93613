"""The canonical path and host: one form, for matching and for forwarding.

Two spellings that an upstream would read as the same path have the same canonical form; a target that two servers could
read differently has none, and is refused. What a route matched is, byte for byte, what the upstream gets.

Canonical: percent-encodings of characters that may stand for themselves are decoded, all others are in upper case;
characters that must not stand for themselves are encoded. Refused: dot segments and empty segments in any encoding,
`;`, `\\`, `#`, control characters, invalid or double percent-encoding, what is not UTF-8. `%2F` and `%5C` survive and
are reported, for the route to decide. These two, `%3F` and `%23` mean something else to a server that decodes early:
what it would read is reported too, so that no other rules apply to it.
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway.model.errors import AmbiguousHost, AmbiguousTarget
from gateway.model.host import Host, read_host

_PLAIN: Final = r"A-Za-z0-9\-._~!$&'()*+,=:@"
"""Characters that stand for themselves: RFC 3986 §3.3 pchar, without `;`."""
_CLEAN_PATH: Final = re.compile(rf"(?:/(?!\.{{1,2}}(?:/|\Z))[{_PLAIN}]+)*/?".encode())
_PLAIN_BYTE: Final = re.compile(rf"[{_PLAIN}]".encode())
_TO_ENCODE: Final = str.maketrans({char: f"%{ord(char):02X}" for char in '"<>^`{|}[]'})
"""Not allowed in a path (RFC 3986 §2), but sent by browsers, and never ambiguous."""
_NOT_LITERAL: Final = re.compile(rf'[^{_PLAIN}/"<>^`{{|}}\[\]]'.encode())
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_DOUBLE: Final = re.compile(rb"%25[0-9A-Fa-f]{2}")
_ENCODED_SLASH: Final = re.compile(r"%2F|%5C")
_ENCODED_END: Final = re.compile(r"%3F|%23")
_QUERY: Final = re.compile(rb"[!-\"$-~]*")
"""Visible ASCII without `#`."""
_MAY_NAME_TOKEN: Final = re.compile(rb"token|%", re.IGNORECASE)
_ABSOLUTE: Final = re.compile(rb"(?:http|https)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Target:
    """A canonical path, the query without tokens (with its `?`, or empty), and whether the path has `%2F` or `%5C`.

    `misreadings` are the paths that it is for servers that decode before they look for `/`, `?` and `#`.
    """

    def __init__(
        self, path: bytes, query: bytes = b"", *, has_encoded_slash: bool = False, misreadings: tuple[str, ...] = ()
    ) -> None:
        self.path: Final = path.decode()
        self.query: Final = query
        self.has_encoded_slash: Final = has_encoded_slash
        self.misreadings: Final = misreadings
        self.text: Final = path + query if query else path
        """Both, as they are forwarded unless a route rewrites the path."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def read_target(raw: bytes, host: Host | None) -> Target:
    """Return the target of a request (RFC 9112 §3.2). Raises AmbiguousTarget."""
    if not raw.startswith(b"/"):
        raw = _from_absolute_form(raw, host)
    if _CLEAN_PATH.fullmatch(raw):
        return Target(raw)
    path, mark, query = raw.partition(b"?")
    if not _QUERY.fullmatch(query):
        raise AmbiguousTarget("the query holds a character that must be percent-encoded")
    if _CLEAN_PATH.fullmatch(path):
        return Target(path, without_token(mark + query))
    canonical = canonical_path(path)
    return Target(
        canonical.encode(),
        without_token(mark + query),
        has_encoded_slash=_ENCODED_SLASH.search(canonical) is not None,
        misreadings=_misreadings(canonical),
    )


def _misreadings(path: str) -> tuple[str, ...]:
    if "%" not in path:
        return ()
    with_slashes = _ENCODED_SLASH.sub("/", path)
    readings = (with_slashes, _ENCODED_END.split(path, 1)[0], _ENCODED_END.split(with_slashes, 1)[0])
    return tuple(reading for reading in dict.fromkeys(readings) if reading != path)


def _from_absolute_form(raw: bytes, host: Host | None) -> bytes:
    if not (match := _ABSOLUTE.fullmatch(raw)):
        raise AmbiguousTarget("the request-target is neither a path nor an http URL")
    if host is None or read_host(match[1]) != host:
        raise AmbiguousTarget("the request-target and Host name different hosts")
    return match[2] if match[2].startswith(b"/") else b"/" + match[2]


def canonical_path(path: bytes) -> str:
    """Return the canonical form of a path. Raises AmbiguousTarget."""
    if not path.startswith(b"/"):
        raise AmbiguousTarget("the path does not begin with a slash")
    pieces = _PERCENT.split(path)
    literal = [_canonical_literal(piece) for piece in pieces[0::2]]
    encoded = [_canonical_byte(int(digits, 16)) for digits in pieces[1::2]]
    canonical = b"".join(part for pair in zip(literal, [*encoded, b""], strict=True) for part in pair)
    if _DOUBLE.search(canonical):
        raise AmbiguousTarget("the path is percent-encoded twice")
    _refuse_ambiguous_segments(canonical)
    return canonical.decode()


def _canonical_literal(text: bytes) -> bytes:
    if found := _NOT_LITERAL.search(text):
        raise AmbiguousTarget(f"the path holds the character 0x{found[0][0]:02X}")
    return text.decode("ascii").translate(_TO_ENCODE).encode("ascii")


_CANONICAL_BYTES: Final = {
    byte: char if _PLAIN_BYTE.match(char) else b"%%%02X" % byte
    for byte, char in ((byte, bytes((byte,))) for byte in range(0x20, 0x100))
    if char not in b";\x7f"
}


def _canonical_byte(byte: int) -> bytes:
    if (canonical := _CANONICAL_BYTES.get(byte)) is None:
        raise AmbiguousTarget(f"the path holds %{byte:02X}")
    return canonical


def _refuse_ambiguous_segments(canonical: bytes) -> None:
    decoded = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), canonical)
    try:
        decoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AmbiguousTarget("the path is not UTF-8") from error
    segments = decoded.replace(b"\\", b"/").split(b"/")[1:]
    if b"." in segments or b".." in segments:
        raise AmbiguousTarget("the path holds a dot segment")
    if b"" in segments[:-1]:
        raise AmbiguousTarget("the path holds an empty segment")


def without_token(query: bytes) -> bytes:
    """Return the query without any `access_token` parameter, in whatever encoding its name is (OAuth 2.1 §5.1)."""
    if not _MAY_NAME_TOKEN.search(query):
        return query
    pieces = re.split(rb"([&;])", query[1:])
    kept = [i for i in range(0, len(pieces), 2) if _parameter_name(pieces[i]) != b"access_token"]
    if len(kept) * 2 > len(pieces):
        return query
    joined = b"".join((pieces[i - 1] if n else b"") + pieces[i] for n, i in enumerate(kept))
    return b"?" + joined if joined else b""


def _parameter_name(parameter: bytes) -> bytes:
    name = parameter.partition(b"=")[0]
    if len(name) < len(b"access_token"):
        return name
    return _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), name).strip(b" +").lower()


# --- patterns of routes


@dataclass(frozen=True)
class PathPattern:
    """Segments to match, None for a parameter; `rest`: and everything below."""

    segments: tuple[str | None, ...]
    rest: bool

    @property
    def literal_prefix(self) -> str:
        """The path up to the first parameter or `**`, without a trailing slash."""
        literal: list[str] = []
        for segment in self.segments:
            if segment is None:
                break
            literal.append(segment)
        return "/" + "/".join(literal) if literal else ""


def path_pattern(text: str) -> PathPattern:
    """Read `/orders`, `/orders/{id}`, `/orders/**`. Raises ValueError."""
    if not text.startswith("/"):
        raise ValueError(f'"{text}" must begin with a slash')
    parts = text[1:].split("/")
    rest = parts[-1] == "**"
    if rest:
        parts.pop()
    segments = tuple(_segment(part, text, is_last=i == len(parts) - 1 and not rest) for i, part in enumerate(parts))
    example = "/".join("x" if segment is None else segment for segment in (*segments, *([None] if rest else [])))
    _canonical_of_pattern(f"/{example}", text)  # %5C at the edge of a segment makes an empty one
    return PathPattern(segments, rest)


def _segment(part: str, text: str, *, is_last: bool) -> str | None:
    if re.fullmatch(r"\{[A-Za-z_][A-Za-z0-9_]*\}", part):
        return None
    if any(char in part for char in "{}*"):
        raise ValueError(f'"{text}": a parameter is a whole segment like {{id}}, and ** stands at the end')
    if not part and not is_last:
        raise ValueError(f'"{text}" holds an empty segment')
    return _canonical_of_pattern("/" + "".join(c if c.isascii() else _encoded(c) for c in part), text)[1:]


def _canonical_of_pattern(path: str, text: str) -> str:
    try:
        return canonical_path(path.encode())
    except AmbiguousTarget as error:
        raise ValueError(f'"{text}" can never match: {error}') from error


def _encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def host_pattern(text: str) -> str:
    """Read `api.example.com` or `*.example.com`; return it in canonical form. Raises ValueError."""
    name = text.removeprefix("*.")
    if not name.isascii():
        raise ValueError(f'"{text}" must be written in ASCII (xn--…)')
    try:
        host = read_host(name.encode())
    except AmbiguousHost as error:
        raise ValueError(f'"{text}" is not a host name; write api.example.com or *.example.com') from error
    if host.port is not None:
        raise ValueError(f'"{text}" must not have a port')
    return ("*." if name != text else "") + host.name
